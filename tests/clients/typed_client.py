"""Takes a member through its life with a client generated from a published description.

    python typed_client.py v20111101|v20250224

The types come from datamodel-code-generator, and msgspec reads every answer with the type that the
description names for it: another type, or null where none is described, ends the journey. Standard
input has the line that `guichet demo --json` prints. The journey is made once for each way to ask
for the version; each is one line of JSON on standard output.
"""

import functools
import importlib.util
import json
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import msgspec
import requests

BANK = "mxbank"
OAUTH_BANK = "mx_bank_oauth"
PUBLISHED = Path(__file__).parent.parent / "published"

# The headers by which each version is asked for.
WAYS = {
    "v20111101": [
        {"Accept": "application/json"},
        {"Accept": "application/json", "Accept-Version": "v20111101"},
        {"Accept": "application/vnd.mx.api.v1+json"},
    ],
    "v20250224": [
        {"Accept": "application/json", "Accept-Version": "v20250224"},
        {"Accept": "application/vnd.mx.api.v2+json"},
    ],
}

# The longest that an aggregation may take, in seconds.
PATIENCE = 60


@functools.cache
def generated(version):
    """The module that the generator makes of a published description."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "types.py"
        command = [sys.executable, "-W", "ignore", "-m", "datamodel_code_generator"]
        command += ["--input", PUBLISHED / f"{version}.json", "--input-file-type", "openapi"]
        command += ["--output", path, "--output-model-type", "msgspec.Struct"]
        command += ["--strict-nullable", "--target-python-version", "3.11", "--disable-timestamp"]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        spec = importlib.util.spec_from_file_location(f"published_{version}", path)
        module = importlib.util.module_from_spec(spec)
        sys.modules[spec.name] = module
        spec.loader.exec_module(module)
        return module


class Client:
    """The operations of one published description, typed."""

    def __init__(self, demo, version, headers):
        self.base = demo["gateway"].rstrip("/")
        self.session = requests.Session()
        self.session.auth = (demo["platform"]["client_id"], demo["platform"]["api_key"])
        self.session.headers.update(headers)
        self.types = generated(version)
        description = json.loads((PUBLISHED / f"{version}.json").read_text())
        self.answers = {
            (method, re.sub(r"\{.*?\}", "{}", path)): operation["responses"]
            for path, item in description["paths"].items()
            for method, operation in item.items()
            if "responses" in operation
        }

    def __call__(self, method, path, *names, body=None, headers=None, **query):
        """The answer, in the type that the description names for its status."""
        data = None if body is None else msgspec.json.encode(body)
        sent = {"Content-Type": "application/json"} if body is not None else {}
        answer = self.session.request(
            method,
            self.base + path.format(*names),
            data=data,
            params=query,
            headers=sent | (headers or {}),
        )
        described = self.answers[method, path].get(str(answer.status_code))
        if described is None:
            sys.exit(f"{method} {path}: {answer.status_code} is not described: {answer.text}")
        content = next(iter(described.get("content", {}).values()), None)
        if content is None:
            assert not answer.content, answer.text
            return None
        name = content["schema"]["$ref"].rsplit("/", 1)[1]
        try:
            return msgspec.json.decode(answer.content, type=getattr(self.types, name))
        except msgspec.ValidationError as error:
            error.add_note(f"{method} {path} as {name}: {answer.text}")
            raise

    def login(self, name, password):
        fields = self("get", "/institutions/{}/credentials", BANK).credentials
        values = {"TEXT": name, "PASSWORD": password}
        return [
            self.types.CredentialRequest(guid=field.guid, value=values[field.field_type])
            for field in fields
        ]

    def create(self, user, institution, credentials, **fields):
        member = self.types.MemberCreateRequest(
            institution_code=institution, credentials=credentials, **fields
        )
        body = self.types.MemberCreateRequestBody(member=member)
        return self("post", "/users/{}/members", user, body=body).member

    def settled(self, user, member, wanted):
        deadline = time.monotonic() + PATIENCE
        while True:
            status = self("get", "/users/{}/members/{}/status", user, member).member
            # The newer description has an enumeration of its statuses.
            now = getattr(status.connection_status, "value", status.connection_status)
            if now == wanted and not (status.is_being_aggregated and wanted == "CONNECTED"):
                return status
            if time.monotonic() > deadline:
                sys.exit(f"waited in vain for {wanted}: {status}")
            # Between two looks at the condition, not instead of one.
            time.sleep(0.02)


def journey(client, name):
    types = client.types
    nobody = types.UserCreateRequestBody(user=types.UserCreateRequest(id=name))
    user = client("post", "/users", body=nobody).user.guid
    client("get", "/users/{}", user)
    client("get", "/users", records_per_page=10)
    rename = types.UserUpdateRequestBody(user=types.UserUpdateRequest(metadata="ours"))
    client("put", "/users/{}", user, body=rename)

    listed = client("get", "/institutions", records_per_page=10).institutions
    for institution in listed:
        client("get", "/institutions/{}", institution.code)

    login = client.login(name, "any")
    first = client.create(user, BANK, login, metadata="ours").guid
    client.settled(user, first, "CONNECTED")
    read = client("get", "/users/{}/members/{}", user, first).member
    client("get", "/users/{}/members", user, records_per_page=10)
    client("get", "/users/{}/members/{}/credentials", user, first)
    change = types.MemberUpdateRequestBody(member=types.MemberUpdateRequest(metadata="changed"))
    client("put", "/users/{}/members/{}", user, first, body=change)
    client("post", "/users/{}/members/{}/aggregate", user, first)
    client.settled(user, first, "CONNECTED")

    for password in ["challenge", "options", "image"]:
        asked = client.create(user, BANK, client.login(f"{name}-{password}", password)).guid
        client.settled(user, asked, "CHALLENGED")
        question = client("get", "/users/{}/members/{}/challenges", user, asked).challenges[0]
        answer = types.CredentialRequest(guid=question.guid, value="correct")
        if question.options:
            right = next(it for it in question.options if "correct" in (it.label, it.value))
            answer.value = right.value
        if password != "image":
            resume = types.MemberResumeRequest(challenges=[answer])
            body = types.MemberResumeRequestBody(member=resume)
            client("put", "/users/{}/members/{}/resume", user, asked, body=body)
            client.settled(user, asked, "CONNECTED")
        client("delete", "/users/{}/members/{}", user, asked)

    away = client.create(user, OAUTH_BANK, [], is_oauth=True).guid
    client("get", "/users/{}/members/{}/oauth_window_uri", user, away)
    client("delete", "/users/{}", user)
    return {
        "job": read.most_recent_job_guid,
        "institutions": len(listed),
    }


def is_strict(client):
    """Whether the client fails on an answer for readers of the other version."""
    other = {"v20111101": "v20250224", "v20250224": "v20111101"}[sys.argv[1]]
    types = client.types
    body = types.UserCreateRequestBody(user=types.UserCreateRequest(id="strict"))
    user = client("post", "/users", body=body).user.guid
    member = client.create(user, BANK, client.login("strict", "any")).guid
    client.settled(user, member, "CONNECTED")
    headers = {"Accept-Version": other}
    try:
        client("get", "/users/{}", user, headers=headers)
        client("get", "/users/{}/members/{}", user, member, headers=headers)
    except msgspec.ValidationError:
        return True
    return False


if __name__ == "__main__":
    version = sys.argv[1]
    demo = json.loads(sys.stdin.readline())
    for number, headers in enumerate(WAYS[version]):
        client = Client(demo, version, headers)
        seen = journey(client, f"typed-{number}")
        print(json.dumps({"step": "journey", **seen}), flush=True)
    print(json.dumps({"step": "strict", "is_strict": is_strict(client)}), flush=True)
