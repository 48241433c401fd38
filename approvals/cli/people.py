"""`assent people`: who can decide, and the invitation with which a person enrols a passkey."""

from collections import Counter
from typing import Annotated

import typer

from approvals.cli import local
from approvals.cli.options import AsJson, Home, Tenant
from approvals.cli.output import EPILOG, emit, moment, out, plain, table
from approvals.flow import activate, enrol

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
    tenant: Tenant = "default",
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Make a single-use link with which PERSON enrols a passkey.

    Hand it over where you know that it is them: whoever opens it first becomes that person.
    """
    with local.service(home) as service:
        made = enrol.invite(service, tenant=tenant, person=person)
    value = {"person": person, "url": made.url, "expires": made.expires}

    def draw() -> None:
        out.print(plain(f"An invitation for {person}, for one use, until {moment(made.expires)}:"))
        # Plain echo: a link that is wrapped is not a link.
        typer.echo(made.url)

    emit(value, draw, as_json=as_json)


@_group.command("list", epilog=EPILOG)
def list_(*, tenant: Tenant = "default", home: Home = None, as_json: AsJson = False) -> None:
    """List the people of the current bundle and the passkeys they have."""
    with local.service(home) as service:
        bundle = activate.current(service, tenant)
        with service.store.read() as tx:
            passkeys = Counter(passkey.person for passkey in tx.people.passkeys(tenant=tenant))
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
