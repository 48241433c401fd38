"""A decorator that makes a Python function a guarded tool.

    from approvals.guard import guarded

    @guarded(target="https://payments.example", tool="transfer")
    def transfer(amount: str, to: str) -> Receipt: ...

A call of the function now takes these steps, and the function runs only after the fourth:

1. its arguments, defaults included, are written down as canonical JSON, once;
2. the call is submitted, and waited for where people have to decide;
3. the approval that comes back is verified against the call, whose hash is computed here;
4. the approval is spent, so that nobody can use it again;
5. the function runs, with arguments read from the very bytes that were approved: what its caller
   does to a list or an object meanwhile changes nothing (check and use are of one thing);
6. the outcome is reported, with the hash of what the function returned if that is JSON; where that
   fails it is logged, and the function's result is the caller's all the same.

A coroutine waits without a thread. A wait that is cancelled or interrupted withdraws its request.

Anything else ends in `CallRefused`, whose `reason` is stable, or in `CallParked` when the wait
was over first: the same call made again finds its request. The service being away means that the
function does not run.

Which service, enforcer, agent and user stands in the environment (see `Guard.from_environment`),
read at the first call and never at import, or in a `Guard` given with `use`.
"""

from approvals.guard.converters import Converter
from approvals.guard.decorator import guarded, use
from approvals.guard.gate import Guard, Spent
from approvals.guard.refusals import CallParked, CallRefused

__all__ = ["CallParked", "CallRefused", "Converter", "Guard", "Spent", "guarded", "use"]
