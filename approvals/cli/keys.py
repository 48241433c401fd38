"""`assent keys`: the service's signing keys, enforcers' key pairs, and what to pin.

What holds: a private key is never printed; a key file is new, mode 0600, and never overwritten.
"""

import json
from pathlib import Path
from typing import Annotated

import typer
from jwcrypto.jwk import JWK

from approvals.cli import files, local, remote
from approvals.cli.options import AsJson, EnforcerId, EnforcerKey, Home, Tenant, Url
from approvals.cli.output import EPILOG, emit, moment, out, plain, table
from approvals.core import directory as directories
from approvals.core.canonical import Json
from approvals.core.errors import AssentError, Invalid
from approvals.core.jws import SigningKey

ROTATION_NOTICE = 3600

_group = typer.Typer(
    help="Signing keys, enforcers' key pairs, and what to pin.", no_args_is_help=True, epilog=EPILOG
)


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(_group, name="keys")


@_group.command(epilog=EPILOG)
def enforcer(
    *,
    key_file: Annotated[
        Path, typer.Option("--out", help="Where the private key goes: a new file.")
    ],
    as_json: AsJson = False,
) -> None:
    """Make an enforcer's key pair: the private half in a file, the public half printed."""
    made = JWK.generate(kty="EC", crv="P-256")
    private = {**made.export_private(as_dict=True), "alg": "ES256", "kid": made.thumbprint()}
    signing = SigningKey.from_jwk(private)
    public = {**signing.public_jwk(), "kid": signing.kid, "alg": signing.alg}
    files.write_new_secret(key_file, json.dumps(private, indent=2).encode() + b"\n")

    def draw() -> None:
        out.print(plain(f"The private key is in {key_file} (mode 0600)."))
        out.print("Its public half goes under the enforcer's keys in enforcers.yaml:\n")
        typer.echo(json.dumps(public))

    emit({"private_key_file": str(key_file), "public_jwk": public}, draw, as_json=as_json)


@_group.command("list", epilog=EPILOG)
def list_(*, home: Home = None, as_json: AsJson = False) -> None:
    """List the service's signing keys, their states, and the log's key."""
    keys = local.keyring(home)
    at = local.now()
    rows = [
        {
            "kid": key.kid,
            "alg": key.signing.alg,
            "state": str(keys.state(key, at)),
            "activates": key.activates,
            "retires": key.retires,
        }
        for key in keys.approval_keys
    ]

    def draw() -> None:
        drawn = table("key", "algorithm", "state", "signs from")
        for key in keys.approval_keys:
            state = keys.state(key, at)
            drawn.add_row(key.kid, key.signing.alg, str(state), moment(key.activates))
        out.print(drawn)
        out.print("\nThe log's verifier key, to be pinned:")
        typer.echo(keys.vkey)

    emit(
        {"signing": rows, "log": {"origin": keys.origin, "vkey": keys.vkey}}, draw, as_json=as_json
    )


@_group.command(epilog=EPILOG)
def rotate(
    *,
    delay: Annotated[
        int, typer.Option(min=0, help="Seconds from publishing the new key to signing with it.")
    ] = ROTATION_NOTICE,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Publish a new signing key now and sign with it after --delay; nothing has to be restarted.

    The delay is the time in which enforcers that keep the keys fetch them again. A rotation that
    has not come into effect is withdrawn when this one does so earlier: --delay 0 always works.
    """
    from approvals.flow.integrity.introduce import introduce

    with local.service(home) as service:
        done = service.keys.rotate(local.now(), delay=delay)
        introduce(service)
    value = {
        "introduced": {"kid": done.introduced.kid, "activates": done.introduced.activates},
        "former": {"kid": done.former.kid, "retires": done.former.retires},
        "withdrawn": [key.kid for key in done.withdrawn],
    }

    def draw() -> None:
        out.print(f"New key:    {done.introduced.kid}")
        out.print(f"  published now, signs from {moment(done.introduced.activates)}")
        out.print(f"Former key: {done.former.kid}")
        if done.former.retires is not None:
            out.print(f"  stays published until {moment(done.former.retires)}")
        for key in done.withdrawn:
            out.print(f"Withdrawn:  {key.kid}, which has never signed")

    emit(value, draw, as_json=as_json)


@_group.command(epilog=EPILOG)
def directory(
    *,
    folder: Annotated[
        Path | None,
        typer.Option(
            "--out", help="Write jwks.json, people.jwt and, from the home, log.vkey here."
        ),
    ] = None,
    url: Url = None,
    enforcer_id: EnforcerId = None,
    key: EnforcerKey = None,
    tenant: Tenant = "default",
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Get what a verifier pins: the signing keys and the signed directory of approvers' keys.

    Retired keys and people who left are in them with their times, so that old evidence holds too. A
    directory that is older than the one in the folder is refused.
    With --enforcer and --key it asks the service at --url, otherwise it reads the home folder.
    Compare what you pin over a second path: whoever can replace it can speak for the people in it.
    """
    jwks: dict[str, Json]
    vkey: str | None = None
    if enforcer_id is not None or key is not None:
        with remote.client(url=url, enforcer=enforcer_id, key=key, tenant=tenant) as client:
            jwks, people = client.jwks_history(), client.directory()
    else:
        from approvals.flow.people.directory import directory as signed_directory

        with local.service(home) as service:
            jwks = service.keys.history()
            people, vkey = signed_directory(service, tenant), service.keys.vkey
    pinned = {"jwks.json": json.dumps(jwks, indent=2), "people.jwt": people}
    if vkey is not None:
        pinned["log.vkey"] = vkey
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        _check_newer(folder / "people.jwt", people, jwks)
        for name, content in pinned.items():
            files.replace(folder / name, content.encode() + b"\n")

    def draw() -> None:
        for name, content in pinned.items():
            if folder is None:
                typer.echo(content)
            else:
                out.print(plain(f"wrote {folder / name}"))

    emit({"jwks": jwks, "people": people, "log_vkey": vkey}, draw, as_json=as_json)


def _check_newer(path: Path, people: str, jwks: dict[str, Json]) -> None:
    """Refuse to put a directory in the place of a newer one, or of another service's."""
    if not path.exists():
        return
    new = directories.verify(people, keys=jwks)
    try:
        old = directories.verify(files.read_text(path).strip(), keys=jwks)
        if (old.issuer, old.tenant) != (new.issuer, new.tenant):
            raise Invalid(f"it is of {old.issuer}, tenant {old.tenant}", code="directory")
    except AssentError as error:
        raise AssentError(
            f"what is pinned here is no directory of this service ({error}); "
            "move it away, or pin into another folder",
            code="directory",
            place=str(path),
        ) from error
    try:
        directories.verify_successor(new, number=old.number, content=old.content())
    except Invalid as error:
        raise AssentError(str(error), code=error.code, place=str(path)) from error
