"""Makes sense of calls that schemathesis makes up, where a description cannot say what does.

The keys and names it makes up are nearly all alike, so that most calls would be refused as repeated
or taken; and an institution that connects by OAuth takes no credentials. Some calls keep what they
had: that has to be tried too.
"""

import itertools

import schemathesis

KEY = "Idempotency-Key"
NAMES = {"id", "external_guid"}
CALLS = itertools.count(1)


@schemathesis.hook
def before_call(context, case, **kwargs):
    number = next(CALLS)
    if number % 4 == 0:
        return
    key = (case.headers or {}).get(KEY)
    if key:
        case.headers[KEY] = f"{key}-{number}"
    member = case.body.get("member") if isinstance(case.body, dict) else None
    if isinstance(member, dict) and "institution_guid" in member:
        kept = {name: value for name, value in member.items() if name != "credentials"}
        for name in NAMES & kept.keys():
            if kept[name]:
                kept[name] = f"{kept[name]}-{number}"
        case.body = {**case.body, "member": {**kept, "is_oauth": True}}
