"""The title and the description of a merge request: what the model wrote is fenced, so that it calls
nobody, closes nothing and is no quick action; what the framework recorded is shown as it is."""

import re

MAX_TITLE_CHARS = 120
MAX_SUMMARY_CHARS = 16_000
# GitLab takes a million.
MAX_DESCRIPTION_CHARS = 500_000

# Our own part of a description, so that an update leaves the words of people alone.
BEGIN = "<!-- pullwright:begin -->"
END = "<!-- pullwright:end -->"

DRAFT = re.compile(r"^\s*(?:(?:draft|wip)\s*:|[\[(]\s*(?:draft|wip)\s*[\])])\s*", re.IGNORECASE)
# What GitLab makes a link of, and tells somebody about: @person, #issue, !request, ~label and the like.
REFERENCE = re.compile(r"([@#!~&%$])(?=[\w\"])")


def title(wanted: str, draft: bool) -> str:
    """In one line. A draft is a draft by its title."""
    line = " ".join(wanted.split())
    while DRAFT.match(line):
        line = DRAFT.sub("", line, count=1)
    if len(line) > MAX_TITLE_CHARS:
        line = line[: MAX_TITLE_CHARS - 1].rstrip() + "…"
    line = REFERENCE.sub("\\1\u200b", line) or "Changes by Pullwright"
    return f"Draft: {line}" if draft else line


def description(existing: str | None, summary: str, evidence: str) -> str:
    """Of one that exists, only our own part is replaced."""
    before, after = _around_ours(existing or "")
    room = max(0, MAX_DESCRIPTION_CHARS - len(before) - len(after))
    ours = f"{_fenced(summary)}{_unmarked(evidence).strip()}"[:room]
    return f"{before}{BEGIN}\n{ours}\n{END}{after}"


def is_all_ours(existing: str | None) -> bool:
    before, after = _around_ours(existing or "")
    return not before and not after.strip()


def _around_ours(existing: str) -> tuple[str, str]:
    begin, end = existing.find(BEGIN), existing.rfind(END)
    if 0 <= begin < end:
        return existing[:begin], existing[end + len(END) :]
    return (f"{existing.rstrip()}\n\n" if existing.strip() else ""), ""


def _fenced(summary: str) -> str:
    words = _unmarked(summary).strip()[:MAX_SUMMARY_CHARS]
    if not words:
        return ""
    longest = max((len(run) for run in re.findall("`+", words)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"### Summary\n\nThe model's own words:\n\n{fence}text\n{words}\n{fence}\n\n"


def _unmarked(words: str) -> str:
    """The markers inside would make the next update cut at the wrong place."""
    return words.replace("<!-- pullwright:", "<!-- pullwright ")
