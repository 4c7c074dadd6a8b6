"""Drives the Platform API with its official SDK, of which nothing is changed but host and keys.

    python platform_sdk.py oauth|standard|errors

Standard input begins with the line that `guichet demo --json` prints. Every step is one line of
JSON on standard output: its name under "step", and what the SDK made of the answer. The journey
`oauth` shows the link after step "minted" and goes on when it reads another line.
"""

import json
import sys
import time

import mx_platform_python as mx

BANK = "mxbank"
OAUTH_BANK = "mx_bank_oauth"
VERSION_1 = "application/vnd.mx.api.v1+json"

# The longest that an aggregation may take, in seconds.
PATIENCE = 60


def step(name, /, **seen):
    print(json.dumps({"step": name, **seen}), flush=True)


class Sdk:
    """The SDK's classes that we need, set up as its documentation says."""

    def __init__(self, demo):
        keys = demo["platform"]
        configuration = mx.Configuration(
            host=demo["gateway"], username=keys["client_id"], password=keys["api_key"]
        )
        client = mx.ApiClient(configuration)
        self.users = mx.UsersApi(client)
        self.members = mx.MembersApi(client)
        self.institutions = mx.InstitutionsApi(client)
        self.widgets = mx.WidgetsApi(client)

    def user(self, identifier, **fields):
        request = mx.UserCreateRequest(id=identifier, **fields)
        body = mx.UserCreateRequestBody(user=request)
        return self.users.create_user(body).user

    def member(self, user, institution, credentials=(), beside=None, **fields):
        """The status that a member was created with, and the member."""
        request = mx.MemberCreateRequest(
            institution_code=institution,
            credentials=[mx.CredentialRequest(**one) for one in credentials],
            **fields,
        )
        body = mx.MemberCreateRequestBody(member=request, **(beside or {}))
        answer = self.members.create_member_with_http_info(user, body)
        return answer.status_code, answer.data.member

    def login(self, name, password):
        """Credentials for the bank, with its own guids for the two fields."""
        values = {"LOGIN": name, "PASSWORD": password}
        fields = self.institutions.list_institution_credentials(BANK).credentials
        return [
            {"guid": field.guid, "value": values[kind]}
            for field in fields
            for kind in values
            if kind in (field.field_name.upper(), field.field_type)
        ]

    def status(self, user, member):
        return self.members.read_member_status(member, user).member

    def settled(self, user, member, wanted):
        """Polls until the member has the wanted status, for good, and gives the answer."""
        deadline = time.monotonic() + PATIENCE
        while True:
            status = self.status(user, member)
            running = status.is_being_aggregated and wanted != "CHALLENGED"
            pulled = status.successfully_aggregated_at or wanted != "CONNECTED"
            if status.connection_status == wanted and not running and pulled:
                return status
            if time.monotonic() > deadline:
                sys.exit(f"waited in vain for {wanted}: {status.to_dict()}")
            # Between two looks at the condition, not instead of one.
            time.sleep(0.02)

    def resume(self, user, member, answers):
        request = mx.MemberResumeRequest(
            challenges=[mx.CredentialRequest(**answer) for answer in answers]
        )
        body = mx.MemberResumeRequestBody(member=request)
        return self.members.resume_aggregation_with_http_info(member, user, body)

    def update(self, user, member, **fields):
        request = mx.MemberUpdateRequest(**fields)
        body = mx.MemberUpdateRequestBody(member=request)
        return self.members.update_member(member, user, body).member

    def delete_user(self, user):
        self.users.delete_user(VERSION_1, user)


def refused(call, *arguments, **named):
    """The status and the body of a refusal."""
    try:
        call(*arguments, **named)
    except mx.ApiException as refusal:
        return {"status": refusal.status, "body": json.loads(refusal.body)}
    sys.exit("this was to be refused")


def oauth(sdk):
    user = sdk.user("sdk-oauth", email="ada@example.com", metadata="from the SDK")
    step("user", **user.to_dict())
    status, member = sdk.member(
        user.guid,
        OAUTH_BANK,
        is_oauth=True,
        id="sdk-oauth-member",
        metadata="ours",
        use_cases=["PFM"],
        beside={"referral_source": "BROWSER", "enable_app2app": False},
    )
    step("minted", status=status, **member.to_dict())
    sys.stdin.readline()

    connected = sdk.settled(user.guid, member.guid, "CONNECTED")
    step("connected", **connected.to_dict())
    ordered = sdk.members.aggregate_member_with_http_info(
        member.guid, user.guid, include_holdings=False, include_transactions=True
    )
    step("aggregate", status=ordered.status_code, **ordered.data.member.to_dict())
    again = sdk.settled(user.guid, member.guid, "CONNECTED")
    step("aggregated", **again.to_dict())

    step("read", **sdk.members.read_member(member.guid, user.guid).member.to_dict())
    page = sdk.members.list_members(user.guid, page=1, records_per_page=10, use_case="PFM")
    step("listed", **page.to_dict())
    updated = sdk.update(user.guid, member.guid, metadata="changed", id="sdk-renamed")
    step("updated", **updated.to_dict())
    link = sdk.widgets.request_o_auth_window_uri_with_http_info(
        member.guid, user.guid, referral_source="BROWSER", skip_aggregation=True
    )
    step("link", status=link.status_code, **link.data.member.to_dict())
    sdk.members.delete_member(member.guid, user.guid)
    step("deleted", **refused(sdk.members.read_member, member.guid, user.guid))
    sdk.delete_user(user.guid)
    step("user_deleted", **refused(sdk.users.read_user, user.guid))


def standard(sdk):
    found = sdk.institutions.list_institutions(
        name="bank", iso_country_code=["US", "CA"], page=1, records_per_page=10
    )
    step("institutions", **found.to_dict())
    step("institution", **sdk.institutions.read_institution(BANK).institution.to_dict())
    fields = sdk.institutions.list_institution_credentials(BANK)
    step("fields", **fields.to_dict())
    user = sdk.user("sdk-standard").guid

    login = sdk.login("connects", "any")
    status, member = sdk.member(user, BANK, login, metadata="ours")
    step("created", status=status, **member.to_dict())
    connected = sdk.settled(user, member.guid, "CONNECTED")
    step("connected", **connected.to_dict())
    kept = sdk.members.list_member_credentials(member.guid, user)
    step("member_fields", **kept.to_dict())
    step("duplicate", known=member.guid, **refused(sdk.member, user, BANK, login))

    _, asked = sdk.member(user, BANK, sdk.login("is-asked", "challenge"))
    challenged = sdk.settled(user, asked.guid, "CHALLENGED")
    step("challenged", **challenged.to_dict())
    questions = sdk.members.list_member_challenges(asked.guid, user)
    step("questions", **questions.to_dict())
    answers = [{"guid": questions.challenges[0].guid, "value": "correct"}]
    resumed = sdk.resume(user, asked.guid, answers)
    step("resumed", status=resumed.status_code, **resumed.data.member.to_dict())
    answered = sdk.settled(user, asked.guid, "CONNECTED")
    step("answered", **answered.to_dict())

    _, choosing = sdk.member(user, BANK, sdk.login("chooses", "options"))
    sdk.settled(user, choosing.guid, "CHALLENGED")
    questions = sdk.members.list_member_challenges(choosing.guid, user)
    step("choice", **questions.to_dict())
    question = questions.challenges[0]
    right = next(one for one in question.options if "correct" in (one.label, one.value))
    sdk.resume(user, choosing.guid, [{"guid": question.guid, "value": right.value}])
    chosen = sdk.settled(user, choosing.guid, "CONNECTED")
    step("chosen", **chosen.to_dict())

    _, wrong = sdk.member(user, BANK, sdk.login("mistypes", "UNAUTHORIZED"))
    denied = sdk.settled(user, wrong.guid, "DENIED")
    step("denied", **denied.to_dict())
    login = [mx.CredentialRequest(**one) for one in sdk.login("mistypes", "right")]
    updated = sdk.update(user, wrong.guid, credentials=login)
    step("updated", **updated.to_dict())
    corrected = sdk.settled(user, wrong.guid, "CONNECTED")
    step("corrected", **corrected.to_dict())

    page = sdk.members.list_members(user, page=1, records_per_page=10)
    step("listed", **page.to_dict())
    for one in page.members:
        sdk.members.delete_member(one.guid, user)
    step("emptied", **sdk.members.list_members(user).to_dict())
    sdk.delete_user(user)


def errors(sdk):
    user = sdk.user("sdk-errors", is_disabled=False)
    step("read", **sdk.users.read_user(user.guid).user.to_dict())
    found = sdk.users.list_users(id="sdk-errors", is_disabled=False, records_per_page=10)
    step("found", **found.to_dict())
    body = mx.UserUpdateRequestBody(user=mx.UserUpdateRequest(metadata="changed"))
    step("updated", **sdk.users.update_user(user.guid, body).user.to_dict())
    step("taken", **refused(sdk.user, "sdk-errors"))

    nowhere = "USR-00000000-0000-4000-8000-000000000000"
    step("no_user", **refused(sdk.users.read_user, nowhere))
    step("no_member", **refused(sdk.members.read_member, "MBR-1", user.guid))
    step("no_institution", **refused(sdk.member, user.guid, "nowhere", is_oauth=True))
    step("no_credentials", **refused(sdk.member, user.guid, BANK))
    _, idle = sdk.member(user.guid, BANK, sdk.login("idle", "any"), skip_aggregation=True)
    step("idle", **idle.to_dict())
    answers = [{"guid": "CRD-00000000-0000-4000-8000-000000000000", "value": "correct"}]
    step("not_asked", **refused(sdk.resume, user.guid, idle.guid, answers))
    stranger = Sdk({
        "gateway": sdk.users.api_client.configuration.host,
        "platform": {"client_id": "demo", "api_key": "not-the-key"},
    })
    step("stranger", **refused(stranger.users.list_users))
    sdk.delete_user(user.guid)


if __name__ == "__main__":
    {"oauth": oauth, "standard": standard, "errors": errors}[sys.argv[1]](
        Sdk(json.loads(sys.stdin.readline()))
    )
