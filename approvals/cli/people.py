"""`assent people`: who can decide, invitations to enrol a passkey, and passkeys that end."""

from collections import Counter
from typing import Annotated

import typer

from approvals.cli import local
from approvals.cli.options import AsJson, Home, Tenant
from approvals.cli.output import EPILOG, emit, moment, out, plain, table
from approvals.flow.operating import activate
from approvals.flow.people import enrol, retire

_group = typer.Typer(help="Who can decide, and invitations.", no_args_is_help=True, epilog=EPILOG)


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(_group, name="people")


@_group.command(epilog=EPILOG)
def invite(
    person: Annotated[
        str, typer.Argument(help="The person's id, as in people.yaml.", metavar="PERSON")
    ],
    *,
    replace: Annotated[
        bool | None,
        typer.Option(
            "--replace/--add",
            help="End the passkeys that they have now (after a loss), or add to them.",
        ),
    ] = None,
    tenant: Tenant = "default",
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Make a single-use link with which PERSON enrols a passkey.

    Hand it over where you know that it is them: whoever opens it first becomes that person. Who
    has passkeys already needs --add or --replace.
    """
    with local.service(home) as service:
        made = enrol.invite(service, tenant=tenant, person=person, replaces=replace)
    value = {
        "person": person,
        "url": made.url,
        "expires": made.expires,
        "replaces": made.replaces,
        "ended_passkeys": made.ended_passkeys,
        "ended_sessions": made.ended_sessions,
    }

    def draw() -> None:
        if made.replaces:
            out.print(plain(f"Ended: {_counted(made.ended_passkeys, made.ended_sessions)}."))
        how = "replaces every passkey they have" if made.replaces else "adds a passkey"
        until = moment(made.expires)
        out.print(plain(f"An invitation for {person} that {how}, for one use, until {until}:"))
        # Plain echo: a link that is wrapped is not a link.
        typer.echo(made.url)

    emit(value, draw, as_json=as_json)


@_group.command("list", epilog=EPILOG)
def list_(*, tenant: Tenant = "default", home: Home = None, as_json: AsJson = False) -> None:
    """List the people of the current bundle and the passkeys they have."""
    with local.service(home) as service:
        bundle = activate.current(service, tenant)
        with service.store.read() as tx:
            passkeys = Counter(passkey.person for passkey in tx.passkeys.active(tenant=tenant))
    people = sorted(bundle.people.values(), key=lambda person: person.id)
    rows = [
        {
            "id": person.id,
            "name": person.name,
            "groups": list(person.groups),
            "passkeys": passkeys[person.id],
        }
        for person in people
    ]

    def draw() -> None:
        drawn = table("person", "name", "groups", "passkeys")
        for person in people:
            drawn.add_row(
                plain(person.id),
                plain(person.name),
                plain(", ".join(person.groups)),
                str(passkeys[person.id]),
            )
        out.print(drawn)

    emit(rows, draw, as_json=as_json)


@_group.command(epilog=EPILOG)
def passkeys(
    person: Annotated[
        str, typer.Argument(help="The person's id, as in people.yaml.", metavar="PERSON")
    ],
    *,
    tenant: Tenant = "default",
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """List the passkeys of PERSON: what each is, and what was signed with it."""
    with local.service(home) as service, service.store.read() as tx:
        held = tx.passkeys.active(tenant=tenant, person=person)
    rows = [
        {
            "id": passkey.credential_id,
            "step_up": passkey.step_up.value,
            "synced": passkey.backup_eligible,
            "created": passkey.created,
            "last_used": passkey.last_used,
            "uses": passkey.uses,
            "decisions": passkey.decisions,
            "unseen": passkey.unseen,
        }
        for passkey in held
    ]

    def draw() -> None:
        # Not a table: an id that is cut names no passkey.
        for passkey in held:
            typer.echo(passkey.credential_id)
            kind = "synced between devices" if passkey.backup_eligible else "on one device"
            used = (
                "never used" if passkey.last_used is None else f"used {moment(passkey.last_used)}"
            )
            out.print(
                plain(
                    f"    {passkey.step_up.value}, {kind}, since {moment(passkey.created)}, {used}"
                )
            )
            counted = f"    uses: {passkey.uses}, of them decisions: {passkey.decisions}"
            if passkey.unseen:
                counted += f"; its own counter shows {passkey.unseen} more"
            out.print(plain(counted))

    emit(rows, draw, as_json=as_json)


@_group.command(epilog=EPILOG)
def revoke(
    person: Annotated[
        str, typer.Argument(help="The person's id, as in people.yaml.", metavar="PERSON")
    ],
    passkey: Annotated[
        str, typer.Argument(help="The passkey's id, from assent people passkeys.", metavar="ID")
    ],
    *,
    tenant: Tenant = "default",
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """End one passkey of PERSON for good, and sign all of their browsers out. Logged."""
    with local.service(home) as service:
        ended = retire.revoke(service, tenant=tenant, person=person, credential_id=passkey)
    value = {
        "person": person,
        "passkey": passkey,
        "ended_passkeys": ended.passkeys,
        "ended_sessions": ended.sessions,
    }

    def draw() -> None:
        out.print(plain(f"Ended: {_counted(ended.passkeys, ended.sessions)}."))

    emit(value, draw, as_json=as_json)


def _counted(passkeys: int, sessions: int) -> str:
    return (
        f"{passkeys} passkey{'s' * (passkeys != 1)} and "
        f"{sessions} signed-in browser{'s' * (sessions != 1)}"
    )
