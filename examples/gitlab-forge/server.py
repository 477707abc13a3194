"""GitLab as a forge, on the official MCP SDK: the tools with a role that Pullwright's pipeline calls.

What each role takes and answers is in core/protocol/src/forge.rs. No model ever sees these tools.
"""

from collections.abc import Iterator
from typing import Any

from mcp.server import MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp.types import ToolAnnotations
from pydantic import BaseModel

import text
from gitlab import Gitlab, GitlabError, Project, Unclear

# GitLab's access levels, of which this is the first that may push a branch.
DEVELOPER = 30
# How often a merge request is asked for, each time after a look whether it is there.
MAX_ATTEMPTS = 3

server = MCPServer("gitlab")
gitlab = Gitlab.from_environment()


class Repository(BaseModel):
    origin: str
    owner: str
    name: str


class Preflight(BaseModel):
    default_branch: str
    can_push: bool
    archived: bool
    private: bool
    size_kib: int | None
    warnings: list[str]


class Credential(BaseModel):
    origin: str
    username: str
    password: str | None


class PullRequest(BaseModel):
    url: str
    number: int
    draft: bool
    base: str


class Found(BaseModel):
    open: PullRequest | None


def role(name: str, **hints: bool) -> Any:
    """Registers a tool of the pipeline. Only one that may be repeated is called again after a crash."""
    annotations = ToolAnnotations.model_validate(hints)
    return server.tool(meta={"pullwright/role": f"forge.{name}"}, annotations=annotations)


@role("preflight", readOnlyHint=True)
def preflight(origin: str, owner: str, name: str) -> Preflight:
    """What the token may do."""
    project = gitlab.project(origin, owner, name)
    try:
        found = gitlab.get(project, query={"statistics": "true"})
        scopes = gitlab.scopes()
    except GitlabError as error:
        raise ToolError(f"looking at {project}: {error}") from error
    if found["path_with_namespace"].lower() != project.path.lower():
        raise ToolError(f"{project} was moved: use {found['web_url']}")
    if not found.get("default_branch"):
        raise ToolError(f"{project} has no default branch: push a first commit to it")
    obstacles = list(_obstacles(project, found, scopes))
    size = (found.get("statistics") or {}).get("repository_size")
    return Preflight(
        default_branch=found["default_branch"],
        can_push=not obstacles,
        archived=bool(found.get("archived")),
        private=found.get("visibility") != "public",
        size_kib=None if size is None else size // 1024,
        warnings=obstacles,
    )


def _obstacles(project: Project, found: dict[str, Any], scopes: list[str] | None) -> Iterator[str]:
    """What keeps a change from becoming a merge request, each with its remedy."""
    if found.get("archived"):
        yield f"{project} is archived, so it takes no changes: unarchive it"
    if found.get("merge_requests_access_level") == "disabled":
        yield f"merge requests are disabled in {project}: enable them in its settings"
    if gitlab.token is None:
        yield f"no GitLab token: set {gitlab.variable} to one with the scope `api` for {project}"
    elif scopes is not None and "api" not in scopes:
        yield f"the token in {gitlab.variable} has the scopes {scopes} only: make one with the scope `api`"
    elif _access_level(found) < DEVELOPER:
        yield (
            f"the token in {gitlab.variable} may not push to {project}: give its user, or the token of the"
            " project, the role Developer or a higher one"
        )


def _access_level(found: dict[str, Any]) -> int:
    rights = (found.get("permissions") or {}).values()
    return max((right["access_level"] for right in rights if right), default=0)


@role("credential", readOnlyHint=True)
def credential(origin: str, owner: str, name: str) -> Credential:
    """What git authenticates with."""
    gitlab.project(origin, owner, name)
    return Credential(origin=gitlab.origin, username="oauth2", password=gitlab.token)


@role("pull_request", idempotentHint=True)
def pull_request(
    repository: Repository, head: str, base: str, title: str, summary: str, evidence: str, draft: bool
) -> PullRequest:
    """Opens a merge request, or brings the open one of the same branch up to date."""
    project = gitlab.project(repository.origin, repository.owner, repository.name)
    new = {
        "source_branch": head,
        "target_branch": base,
        "title": text.title(title, draft),
        "description": text.description(None, summary, evidence),
    }
    try:
        opened = _find(project, head)
        if opened is None:
            opened = _open(project, new)
        # Also what was opened just now: by whom, is not known after an answer that got lost.
        if opened["description"] != new["description"]:
            opened = _update(project, opened, title, summary, evidence)
    except GitlabError as error:
        raise ToolError(f"opening the merge request from {head} to {base} on {project}: {error}") from error
    return _told(opened)


@role("find_pull_request", readOnlyHint=True)
def find_pull_request(repository: Repository, head: str) -> Found:
    """The open merge request of a branch."""
    project = gitlab.project(repository.origin, repository.owner, repository.name)
    try:
        found = _find(project, head)
    except GitlabError as error:
        raise ToolError(f"looking for the merge request from {head} on {project}: {error}") from error
    return Found(open=None if found is None else _told(found))


def _find(project: Project, head: str) -> dict[str, Any] | None:
    """That of this project's own branch: a fork may have one of the same name."""
    query = {"state": "opened", "source_branch": head, "per_page": "100"}
    for found in gitlab.get(project, "/merge_requests", query=query):
        if found["source_branch"] == head and found["source_project_id"] == found["target_project_id"]:
            return found
    return None


def _open(project: Project, new: dict[str, str]) -> dict[str, Any]:
    """Opens it once: where it may be there all the same, it is looked for before it is asked for again."""
    for attempt in range(1, MAX_ATTEMPTS + 1):
        try:
            return gitlab.post(project, "/merge_requests", new)
        except GitlabError as error:
            exists = error.status == 409
            if not exists and not isinstance(error, Unclear):
                raise
            opened = _find(project, new["source_branch"])
            if opened is not None:
                return opened
            if exists or attempt == MAX_ATTEMPTS:
                raise
    raise AssertionError("the last attempt returns or raises")


def _update(
    project: Project, opened: dict[str, Any], title: str, summary: str, evidence: str
) -> dict[str, Any]:
    """Words of people stay, and so do their title, their choice of a target, and whether it is a draft."""
    theirs = opened.get("description")
    changed = {"description": text.description(theirs, summary, evidence)}
    if text.is_all_ours(theirs):
        changed["title"] = text.title(title, bool(opened.get("draft")))
    return gitlab.put(project, f"/merge_requests/{int(opened['iid'])}", changed)


def _told(found: dict[str, Any]) -> PullRequest:
    return PullRequest(
        url=found["web_url"],
        number=found["iid"],
        draft=bool(found.get("draft")),
        base=found["target_branch"],
    )


if __name__ == "__main__":
    server.run()
