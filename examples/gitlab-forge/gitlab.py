"""GitLab's REST API, as far as a forge needs it: one host, one token, and requests that end.

Redirects are not followed, so that the token goes to that host alone; and no message holds it.
"""

import json
import os
import time
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from http.client import HTTPException, HTTPMessage
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import quote, urlencode, urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

from mcp.server.mcpserver.exceptions import ToolError

URL_VARIABLE = "GITLAB_URL"
TOKEN_VARIABLE = "GITLAB_TOKEN"

# Of one request, against a server that hangs, in seconds.
TIMEOUT = 20
# What GitLab may ask to wait for within a call, in seconds; it must fit into `tool_timeout_sec`.
MAX_WAIT = 15
MAX_ATTEMPTS = 3
# Against an answer without end.
MAX_ANSWER_BYTES = 8 << 20
MAX_SHOWN_CHARS = 300


class GitlabError(Exception):
    """What went wrong and what to do. `status` is that of the answer, if there was one."""

    def __init__(self, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


class Unclear(GitlabError):
    """Nobody knows whether the request was carried out."""


@dataclass(frozen=True)
class Project:
    """A project by its path, such as `group/sub/project`, and its page."""

    path: str
    page: str

    def __str__(self) -> str:
        return self.page

    @property
    def route(self) -> str:
        return f"/projects/{quote(self.path, safe='')}"


class _NoRedirect(HTTPRedirectHandler):
    def redirect_request(self, *_: Any) -> None:
        return None


class Gitlab:
    def __init__(self, url: str, token: str | None, variable: str) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.netloc or "@" in parts.netloc:
            raise SystemExit(f"{URL_VARIABLE} must be an address such as https://gitlab.example.com")
        self.origin = f"{parts.scheme}://{parts.netloc.lower()}"
        # Where GitLab is installed below a path, such as https://example.com/gitlab.
        self.below = parts.path.strip("/")
        self.token = token
        self.variable = variable
        self._opener = build_opener(_NoRedirect)

    @classmethod
    def from_environment(cls) -> "Gitlab":
        url = os.environ.get(URL_VARIABLE) or "https://gitlab.com"
        return cls(url, os.environ.get(TOKEN_VARIABLE, "").strip() or None, TOKEN_VARIABLE)

    def project(self, origin: str, owner: str, name: str) -> Project:
        """A repository of this GitLab. The token is for no other, so others are refused."""
        path = f"{owner}/{name}"
        page = f"{origin}/{path}"
        begin = f"{self.below}/" if self.below else ""
        if origin != self.origin or not path.startswith(begin):
            raise ToolError(f"{page} is not of {self.origin}/{begin}, which this forge is for")
        path = path.removeprefix(begin)
        if "/" not in path or any(part in ("", ".", "..") for part in path.split("/")):
            raise ToolError(f"{page} is not a project of GitLab: give its group and its name")
        return Project(path, page)

    def scopes(self) -> list[str] | None:
        """Those of a token that works, where it is of a kind that can be asked for them."""
        if self.token is None:
            return None
        try:
            return self._retried("GET", "/personal_access_tokens/self")["scopes"]
        except GitlabError as error:
            if error.status in (400, 401, 403, 404):
                return None
            raise

    def get(self, project: Project, route: str = "", query: dict[str, str] | None = None) -> Any:
        asked = f"?{urlencode(query)}" if query else ""
        return self._retried("GET", f"{project.route}{route}{asked}")

    def put(self, project: Project, route: str, body: dict[str, Any]) -> Any:
        return self._retried("PUT", f"{project.route}{route}", body)

    def post(self, project: Project, route: str, body: dict[str, Any]) -> Any:
        """Sent again only after an answer that says it was not carried out."""
        return self._retried("POST", f"{project.route}{route}", body)

    def _retried(self, method: str, route: str, body: dict[str, Any] | None = None) -> Any:
        for attempt in range(1, MAX_ATTEMPTS + 1):
            try:
                return self._send(method, route, body)
            except _Busy as error:
                wait, last = error.wait, error
            except Unclear as error:
                if method == "POST":
                    raise
                wait, last = 0.3 * attempt, error
            if wait > MAX_WAIT:
                raise last
            if attempt < MAX_ATTEMPTS:
                time.sleep(wait)
        raise last

    def _send(self, method: str, route: str, body: dict[str, Any] | None) -> Any:
        below = f"/{self.below}" if self.below else ""
        request = Request(f"{self.origin}{below}/api/v4{route}", method=method)
        request.add_header("Accept", "application/json")
        if self.token is not None:
            request.add_header("Authorization", f"Bearer {self.token}")
        if body is not None:
            request.add_header("Content-Type", "application/json")
            request.data = json.dumps(body).encode()
        try:
            with self._opener.open(request, timeout=TIMEOUT) as answer:
                return _parsed(answer.read(MAX_ANSWER_BYTES + 1))
        except HTTPError as answer:
            with answer:
                raise self._explained(answer) from None
        except (URLError, HTTPException, OSError) as error:
            raise Unclear(f"{self.origin} does not answer: {self._shown(str(error))}") from None

    def _explained(self, answer: HTTPError) -> GitlabError:
        status, said = answer.code, self._said(answer)
        if status == 429:
            return _busy(answer.headers, said)
        if status >= 500:
            return Unclear(f"GitLab has a problem of its own ({status}): {said}", status)
        if 300 <= status < 400:
            return GitlabError(f"it was moved ({status}): use its new address", status)
        remedy = {
            401: f"the token in {self.variable} is wrong, expired or revoked: make a new one with the scope `api`",
            403: f"the token in {self.variable} may not do this: it needs the scope `api` and the role Developer",
            404: f"it is not there, or the token in {self.variable} may not see it",
        }.get(status, f"GitLab refuses it ({status})")
        return GitlabError(f"{remedy}: GitLab says: {said}", status)

    def _said(self, answer: HTTPError) -> str:
        try:
            body = answer.read(MAX_ANSWER_BYTES)
        except (HTTPException, OSError):
            return "nothing"
        try:
            value = json.loads(body)
        except ValueError:
            return self._shown(body.decode(errors="replace"))
        keys = ("message", "error_description", "error")
        values = [value.get(key) for key in keys] if isinstance(value, dict) else [value]
        return self._shown("; ".join(str(one) for one in values if one))

    def _shown(self, said: str) -> str:
        """In one short line, and without the token, should a server echo it."""
        if self.token is not None:
            said = said.replace(self.token, "…")
        return " ".join(said.split())[:MAX_SHOWN_CHARS] or "nothing"


class _Busy(GitlabError):
    """Not carried out: too many requests. `wait` is how long GitLab asks to wait, in seconds."""

    def __init__(self, message: str, wait: float) -> None:
        super().__init__(message, 429)
        self.wait = wait


def _busy(headers: HTTPMessage, said: str) -> _Busy:
    wait = _wait(headers)
    return _Busy(f"GitLab wants no more requests for {wait:.0f} s ({said}): try again then", wait)


def _wait(headers: HTTPMessage) -> float:
    after = headers.get("Retry-After", "").strip()
    if after.isdecimal():
        return float(after)
    reset = headers.get("RateLimit-Reset", "").strip()
    if reset.isdecimal():
        return max(0.0, float(reset) - time.time())
    try:
        return max(0.0, parsedate_to_datetime(after).timestamp() - time.time())
    except ValueError:
        return 1.0


def _parsed(body: bytes) -> Any:
    if len(body) > MAX_ANSWER_BYTES:
        raise GitlabError(f"GitLab's answer has more than {MAX_ANSWER_BYTES} bytes")
    try:
        return json.loads(body)
    except ValueError:
        raise GitlabError(
            f"what answers is no API of GitLab, since it speaks no JSON: look at {URL_VARIABLE}"
        ) from None
