"""Whether an evidence file has all events of its subject, and which proof says so.

The events of a subject are numbered and chained, so a gap between two of them is visible. A missing
last event is not. There are two proofs that none is missing:

1. The service signs how many events there were, and which was the last, when the log had this size
   and root. It also signs the content of the file, so that nothing in it can be changed. Somebody
   with the service's signing key can forge it.
2. An auditor searches all leaves of the log for events of the subject. That depends on nothing but
   the log's checkpoint.

Follows docs/protocol.md, "Evidence file".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from approvals.core import b64, canonical, documents, jws, merkle
from approvals.core.errors import EvidenceError, ProofError
from approvals.core.history.leaves import Chain, parse_leaf
from approvals.core.tlog.checkpoint import parse_checkpoint

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from approvals.core.canonical import Json
    from approvals.core.evidence_file.document import EvidenceFile
    from approvals.core.history.events import Event
    from approvals.core.tlog.checkpoint import Checkpoint
    from approvals.core.tlog.published import FetchedLog

TOKEN_TYPE: Final = "assent-completeness+jwt"  # noqa: S105 - a media type, not a secret

_CLAIMS: Mapping[str, tuple[type, ...]] = {
    "iss": (str,),
    "tenant": (str,),
    "subject": (str,),
    "events": (int,),
    "head": (str,),
    "size": (int,),
    "root": (str,),
    "time": (int,),
    "content": (str,),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Completeness:
    """The service's word at `time`: how many `events` the subject has, and which is the last.

    That holds under the checkpoint of `size` and `root`; `head` is the last one's leaf hash.
    `content` is `EvidenceFile.content_digest` of the file that it is in.
    """

    issuer: str
    tenant: str
    subject: str
    events: int
    head: bytes
    size: int
    root: bytes
    time: int
    content: str

    def claims(self) -> dict[str, Json]:
        """The claims of the token."""
        return {
            "iss": self.issuer,
            "tenant": self.tenant,
            "subject": self.subject,
            "events": self.events,
            "head": b64.encode(self.head),
            "size": self.size,
            "root": b64.encode(self.root),
            "time": self.time,
            "content": self.content,
        }

    @classmethod
    def from_claims(cls, claims: object) -> Completeness:
        """Read the claims strictly; `Invalid` names the claim that is wrong."""
        it = documents.read(claims, _CLAIMS, "complete")
        return cls(
            issuer=it["iss"],
            tenant=it["tenant"],
            subject=it["subject"],
            events=it["events"],
            head=documents.octets(it["head"], "complete.head"),
            size=it["size"],
            root=documents.octets(it["root"], "complete.root"),
            time=documents.moment(it["time"], "complete.time"),
            content=it["content"],
        )


def sign(statement: Completeness, *, key: jws.SigningKey) -> str:
    """The statement as the service gives it: a compact JWS."""
    return jws.sign(statement.claims(), key=key, typ=TOKEN_TYPE)


def read(token: str, *, keys: jws.KeySet) -> Completeness:
    """The statement in a token that one of `keys` signed (`JwsError`, `Invalid`)."""
    _, claims = jws.verify(token, keys=keys, typ=TOKEN_TYPE, signed_at="time")
    return Completeness.from_claims(claims)


@dataclass(frozen=True, slots=True)
class LogSearch:
    """What a whole log tells of a subject: the leaves under the file's checkpoint, and later ones.

    `size` is how many leaves the log has.
    """

    size: int
    within: tuple[tuple[int, bytes], ...]
    later: tuple[tuple[int, Event], ...]


def search(
    log: FetchedLog, *, vkeys: Sequence[str], tree: Checkpoint, tenant: str, subject: str
) -> LogSearch:
    """Find every leaf of a subject in a log that begins with `tree`.

    It reads each leaf once and keeps a few hashes, so memory does not grow with the log.

    Raises:
        ProofError: `log_forked`: the log does not begin with what the file's checkpoint signed;
            `log_incomplete`: its leaves are not those that its own checkpoint signed; or the
            checkpoint is not signed by the log.
    """
    whole = parse_checkpoint(log.checkpoint, vkeys=vkeys)
    if whole.origin != tree.origin:
        raise ProofError(f"the log of {whole.origin}, not of {tree.origin}", code="log_forked")
    if whole.size < tree.size:
        raise ProofError(
            f"the log has {whole.size} leaves and is older than the file, which knows {tree.size}",
            code="log_incomplete",
        )
    mark = b'"subject":' + canonical.encode(subject)
    roots = merkle.Accumulator()
    within: list[tuple[int, bytes]] = []
    later: list[tuple[int, Event]] = []
    for index, leaf in enumerate(log.leaves):
        if index == tree.size and roots.root() != tree.root:
            break
        roots.add(merkle.leaf_hash(leaf))
        if mark in leaf:  # a leaf is in canonical form, so this finds each one
            event = parse_leaf(leaf).event
            if (event.tenant, event.subject) != (tenant, subject):
                continue
            if index < tree.size:
                within.append((index, leaf))
            else:
                later.append((index, event))
    if roots.size == tree.size and roots.root() != tree.root:
        raise ProofError("the log does not begin with what the file knows", code="log_forked")
    if (roots.size, roots.root()) != (whole.size, whole.root):
        raise ProofError(
            "these are not the leaves that its checkpoint signed", code="log_incomplete"
        )
    return LogSearch(whole.size, tuple(within), tuple(later))


def verify_statement(
    file: EvidenceFile,
    *,
    keys: jws.KeySet,
    issuer: str | None,
    tenant: str,
    chain: Chain,
    tree: Checkpoint,
) -> Completeness:
    """The service's statement, which is about this file: its subject, events and checkpoint.

    Raises:
        JwsError, Invalid: it is no statement that the service signed.
        EvidenceError: it is about something else; the place names the claim.
    """
    said = read(file.complete, keys=keys)
    for name, claimed, wanted in (
        ("iss", said.issuer, issuer or said.issuer),
        ("tenant", said.tenant, tenant),
        ("subject", said.subject, file.subject),
        ("events", said.events, chain.count),
        ("head", said.head, chain.head),
        ("size", said.size, tree.size),
        ("root", said.root, tree.root),
        ("content", said.content, file.content_digest()),
    ):
        if claimed != wanted:
            raise EvidenceError("the service said it of something else", place=f"complete.{name}")
    return said


def verify_in_log(
    file: EvidenceFile, log: FetchedLog, *, vkeys: Sequence[str], tenant: str, tree: Checkpoint
) -> LogSearch:
    """What the log has of the subject, which up to the file's checkpoint is what the file has.

    Raises:
        ProofError: as `search`.
        EvidenceError: the file has other events, or leaves some out.
    """
    found = search(log, vkeys=vkeys, tree=tree, tenant=tenant, subject=file.subject)
    if found.within != tuple((event.index, event.leaf) for event in file.events):
        raise EvidenceError(
            f"the log has {len(found.within)} events of this subject, and not just the "
            f"{len(file.events)} of the file",
            place="events",
        )
    return found
