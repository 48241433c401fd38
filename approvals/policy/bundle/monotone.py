"""What a caller says can make a verdict stricter, and never looser.

Two members of the context are the caller's own doing and no part of the call: `task`, which it
names as it likes or not at all, and `usage`, which it raises by calling (refused calls count as
well). A rule could make either a switch: a forbid that does not apply to a certain task, a permit
for one, a question that is put for the first few calls only. So a rule is taken only if

- a forbid, asking or not, that applies without a task applies with every task, and one that applies
  at some counts applies at all higher ones;
- for a permit it is the other way round.

More forbids and fewer permits never lead to a looser verdict, so the same holds for the bundle. It
is shown here on the parsed rule, for one member at a time and conservatively: what cannot be shown
is refused. Recursion is as deep as the rule, for which Cedar's reader has a limit.

A value *rises* in a member if naming or raising that member, with all else as it is, can change it
only from false to true or to a larger number, and *falls* if only the other way.
"""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from enum import Flag, auto
from functools import reduce
from operator import and_
from typing import TYPE_CHECKING, Any, Final

from cedarpy import pst

if TYPE_CHECKING:
    from collections.abc import Iterable


class Way(Flag):
    """How a value may change; both ways if it does not depend on the member."""

    NEITHER = 0
    RISES = auto()
    FALLS = auto()
    BOTH = RISES | FALLS

    @property
    def turned(self) -> Way:
        """The way of the opposite."""
        return {Way.RISES: Way.FALLS, Way.FALLS: Way.RISES}.get(self, self)


_TRUE: Final = pst.BoolLit(value=True)
_SAID: Final = {
    "task": "a caller names the task as it likes, and could {switch} by it: here context.task may "
    "only make the rule {do}, behind `context has task`",
    "usage": "a caller raises usage by calling, and could {switch} by it: here more calls may only "
    "make the rule {do}",
}
_FORBID: Final = {"switch": "switch this forbid off", "do": "apply"}
_PERMIT: Final = {"switch": "switch this permit on", "do": "not apply"}


def faults(effect: str, clauses: Iterable[pst.Clause]) -> list[str]:
    """A sentence for each way in which a caller could switch this rule.

    `clauses` are those of the rule without `unless { context.approved }`.
    """
    # A rule applies if each of its `when` holds and none of its `unless`.
    body: pst.Expr = _TRUE
    for clause in clauses:
        holds = clause.expr
        if isinstance(clause, pst.Unless):
            holds = pst.UnaryOp(op="not", arg=holds)
        body = pst.BinaryOp(op="and", left=body, right=holds)
    forbids = effect == "forbid"
    wanted = Way.RISES if forbids else Way.FALLS
    words = _FORBID if forbids else _PERMIT
    return [
        sentence.format(**words)
        for member, sentence in _SAID.items()
        if wanted not in _truth(body, member)
    ]


def _truth(expr: pst.Expr, member: str) -> Way:
    """How the truth of a condition changes with the member."""
    if not _mentions(expr, member):
        return Way.BOTH
    # What is false without the member can only become true, and the other way round.
    return _step(expr, member) | _FROM[_without(expr, member)]


_FROM: Final = {False: Way.RISES, True: Way.FALLS, None: Way.NEITHER}


def _step(expr: pst.Expr, member: str) -> Way:
    match expr:
        case pst.BinaryOp(op=("and" | "or") as op):
            ways = [_truth(each, member) for each in _chain(expr, op)]
            return reduce(and_, ways)
        case pst.UnaryOp(op="not", arg=arg):
            return _truth(arg, member).turned
        case pst.IfThenElse(cond=cond, then_expr=then, else_expr=other):
            either = _truth(then, member) & _truth(other, member)
            return Way.NEITHER if _mentions(cond, member) else either
        case pst.BinaryOp(op=("greater" | "greater_eq"), left=left, right=right):
            return _number(left, member) & _number(right, member).turned
        case pst.BinaryOp(op=("less" | "less_eq"), left=left, right=right):
            return _number(left, member).turned & _number(right, member)
        case _:
            return Way.NEITHER


def _number(expr: pst.Expr, member: str) -> Way:
    """How a number changes with the member: a counter rises.

    Sums with counters are not followed: one that overflows at low counts denies, until it does not.
    """
    if not _mentions(expr, member):
        return Way.BOTH
    match expr:
        case pst.GetAttr(base=pst.GetAttr(base=pst.Var("context"), attr="usage")):
            return Way.RISES
        case _:
            return Way.NEITHER


def _without(expr: pst.Expr, member: str) -> bool | None:
    """What a condition is where the member is not there; None where that cannot be told."""
    known: bool | None = None
    match expr:
        case pst.BoolLit(value=value):
            known = value
        case pst.HasAttr(base=pst.Var("context"), attrs=("task", *_)) if member == "task":
            known = False
        case pst.UnaryOp(op="not", arg=arg):
            inner = _without(arg, member)
            known = None if inner is None else not inner
        case pst.BinaryOp(op=("and" | "or") as op):
            values = {_without(each, member) for each in _chain(expr, op)}
            decides = op == "or"  # one of these makes the whole so
            if decides in values or None not in values:
                known = decides in values if decides else decides not in values
        case pst.IfThenElse(cond=cond, then_expr=then, else_expr=other):
            chosen = _without(cond, member)
            if chosen is not None:
                known = _without(then if chosen else other, member)
        case _:
            pass
    return known


def _chain(expr: pst.Expr, op: str) -> list[pst.Expr]:
    """The parts of a chain of one operator, in no particular order."""
    parts: list[pst.Expr] = []
    todo = [expr]
    while todo:
        match todo.pop():
            case pst.BinaryOp(op=found, left=left, right=right) if found == op:
                todo += [left, right]
            case part:
                parts.append(part)
    return parts


def _mentions(expr: pst.Expr, member: str) -> bool:
    """Whether an expression looks at this member of the context, or at the context as a whole."""
    todo: list[Any] = [expr]
    while todo:
        match todo.pop():
            case pst.GetAttr(pst.Var("context"), attr):
                found = attr == member
            case pst.HasAttr(pst.Var("context"), attrs):
                found = attrs[0] == member
            case pst.Var("context"):
                found = True
            case dict() as mapping:
                found = False
                todo.extend(mapping.values())
            case tuple() as several:
                found = False
                todo.extend(several)
            case node if is_dataclass(node):
                found = False
                todo.extend(getattr(node, each.name) for each in fields(node))
            case _:
                found = False
        if found:
            return True
    return False
