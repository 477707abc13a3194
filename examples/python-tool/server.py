"""A tool server on the official MCP SDK for Python: arithmetic with dates, which models get wrong."""

from datetime import date, timedelta

from mcp.server import MCPServer
from mcp.server.mcpserver.exceptions import ToolError

server = MCPServer("dates")

MAX_DAYS = 366 * 100


@server.tool()
def days_between(start: date, end: date) -> int:
    """The number of days from one date to another, such as 2026-02-27 to 2026-03-01."""
    return (end - start).days


@server.tool()
def working_days(start: date, end: date) -> int:
    """The number of Mondays to Fridays from one date to another, both included."""
    days = (end - start).days + 1
    if days < 0 or days > MAX_DAYS:
        raise ToolError(f"the end must be at most {MAX_DAYS} days after the start")
    return sum((start + timedelta(n)).weekday() < 5 for n in range(days))


if __name__ == "__main__":
    server.run()
