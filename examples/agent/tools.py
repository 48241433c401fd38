"""The tools of the example company, as guarded functions with effects on its database.

This is the whole of what a company adds to its own functions: one decorator each. What the name
and the arguments mean to policy and to people stands in `examples/company/tools.yaml`.
"""

from typing import TypedDict

from approvals.guard import guarded
from examples.agent.database import transaction

CUSTOMERS = "https://customers.fernhill.example"
PAYMENTS = "https://payments.fernhill.example"
MAIL = "https://mail.fernhill.example"


class Customer(TypedDict):
    """A customer's record. The note is what other people wrote: data, not instructions."""

    id: int
    name: str
    email: str
    phone: str | None
    note: str


class NoSuchCustomerError(LookupError):
    """There is no customer with this number."""


@guarded(target=CUSTOMERS, tool="customers.read")
def read_customer(customer: int) -> Customer:
    """Read a customer's record."""
    with transaction() as books:
        row = books.execute("SELECT * FROM customers WHERE id = ?", (customer,)).fetchone()
    if row is None:
        raise NoSuchCustomerError(customer)
    return Customer(
        id=row["id"], name=row["name"], email=row["email"], phone=row["phone"], note=row["note"]
    )


@guarded(target=CUSTOMERS, tool="customers.update")
def change_phone(customer: int, phone: str | None) -> None:
    """Change a customer's telephone number."""
    _change("UPDATE customers SET phone = ? WHERE id = ?", phone, customer)


@guarded(target=CUSTOMERS, tool="customers.update")
def change_email(customer: int, email: str) -> None:
    """Change a customer's email address. The same tool as above: policy sees the argument."""
    _change("UPDATE customers SET email = ? WHERE id = ?", email, customer)


@guarded(target=CUSTOMERS, tool="customers.delete")
def delete_customer(customer: int, reason: str) -> None:
    """Delete a customer's record. `reason` is for the people who decide and for the log."""
    del reason
    with transaction() as books:
        if not books.execute("DELETE FROM customers WHERE id = ?", (customer,)).rowcount:
            raise NoSuchCustomerError(customer)


@guarded(target=PAYMENTS, tool="payments.transfer")
def transfer(amount: str, currency: str, payee: str, iban: str, reference: str) -> int:
    """Transfer money; gives the payment's number. Amounts are text, so that no digit is lost."""
    with transaction() as books:
        done = books.execute(
            "INSERT INTO payments (amount, currency, payee, iban, reference) "
            "VALUES (?, ?, ?, ?, ?)",
            (amount, currency, payee, iban, reference),
        )
    return done.lastrowid or 0


@guarded(target=MAIL, tool="mailings.send")
def send_mailing(recipients: list[str], subject: str, body: str) -> int:
    """Send one email to each recipient; gives the mailing's number."""
    with transaction() as books:
        done = books.execute(
            "INSERT INTO mailings (recipients, subject, body) VALUES (?, ?, ?)",
            (len(recipients), subject, body),
        )
    return done.lastrowid or 0


def _change(statement: str, value: str | None, customer: int) -> None:
    with transaction() as books:
        if not books.execute(statement, (value, customer)).rowcount:
            raise NoSuchCustomerError(customer)
