"""The board in a terminal, with textual. Shows what :mod:`agentreview.watch.follow` tells, and decides nothing.

All that comes from the repository is escaped and shown as :class:`rich.text.Text`, which knows no markup.
"""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from rich.text import Text
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import DataTable, Footer, OptionList, Static
from textual.widgets.option_list import Option

from agentreview.errors import AgentReviewError, ExitCode
from agentreview.model import Finding, Status
from agentreview.overview import on, short, summary
from agentreview.reporters import REPORTERS
from agentreview.reporters.text import escape
from agentreview.watch import board as boards
from agentreview.watch import details
from agentreview.watch.board import Board, News, Place
from agentreview.watch.follow import Follower, ended

HEADS = ("worktree", "branch", "staged", "verdict")
STYLES = {
    "blocked": "bold red",
    "incomplete": "yellow",
    "passed": "green",
    "cannot be read": "yellow",
    "unmerged": "yellow",
}
LONGEST = 48  # characters of a path: its end is what tells worktrees apart
NEWS = 5  # lines of what happened last
AGES = 10.0  # seconds after which ages are written anew

KEYS = """\
up, down     another worktree, or another finding
tab          from the worktrees to the findings, and back
enter        open: the finding with its code, and how to fix it
p            what a model reviewer is sent of this change (in a finding of a reviewer as well)
r            review again what is staged in this worktree
c            copy how to fix it, for the agent that works there: one finding, or all of the worktree
b            bell on or off
q            quit

The copy goes through the terminal (OSC 52); some terminals have to be told to allow it.
"""


class Reading(ModalScreen[None]):
    """One text to read: a finding, a packet, the keys. ``copied`` is what ``c`` copies."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q,enter", "dismiss", "back"),
        Binding("c", "copy", "copy"),
        Binding("p", "packet", "what a reviewer is sent"),
    ]

    def __init__(self, text: Text, copied: str = "", finding: Finding | None = None, path: str = "") -> None:
        super().__init__()
        self.text, self.copied, self.finding, self.path = text, copied, finding, path

    def compose(self) -> ComposeResult:
        """The text, and the keys."""
        with VerticalScroll():
            yield Static(self.text)
        yield Footer(show_command_palette=False)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Offer only what there is."""
        del parameters
        if action == "packet":
            return self.finding is not None and details.is_reviewers(self.finding)
        return bool(self.copied) if action == "copy" else True

    def action_copy(self) -> None:
        """Copy, and say so."""
        self.app.copy_to_clipboard(self.copied)
        self.notify("copied", timeout=2, markup=False)

    def action_packet(self) -> None:
        """Show what the reviewer of this finding is sent."""
        app = self.app
        if isinstance(app, Cockpit) and self.finding is not None:
            app.read_packet(self.path, self.finding)


class Cockpit(App[int]):
    """All worktrees, the findings of the one that is chosen, and what happened last."""

    TITLE = "agentreview watch"
    ENABLE_COMMAND_PALETTE = False
    CSS = """
    #summary { height: 1; padding: 0 1; text-style: bold; }
    #worktrees { height: auto; max-height: 60%; }
    #detail { height: auto; max-height: 6; padding: 1 1 0 1; }
    #findings { height: 1fr; border: none; padding: 0 1; text-wrap: nowrap; text-overflow: ellipsis; }
    #news { height: auto; max-height: 7; padding: 0 1; color: $text-muted; border-top: solid $panel; text-wrap: nowrap; text-overflow: ellipsis; }
    Reading { align: center middle; }
    Reading VerticalScroll { width: 96%; height: 94%; background: $surface; border: round $primary; padding: 0 1; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("q", "quit", "quit"),
        Binding("ctrl+c", "quit", show=False, priority=True),
        Binding("question_mark", "keys", "keys", key_display="?"),
        Binding("c", "copy", "copy fix"),
        Binding("r", "again", "review again"),
        Binding("p", "packet", "packet"),
        Binding("b", "ring", "bell"),
    ]

    def __init__(self, path: str | None, *, bell: bool, settle: float) -> None:
        super().__init__()
        self.animation_level = "none"
        self.follower = Follower(path, self._hear, settle=settle)
        self.rings = bell
        self.failure: AgentReviewError | Exception | None = None
        self._here = str(Path.cwd())
        self._shown: dict[str, tuple[Text, ...]] = {}
        self._options: tuple[object, ...] = ()
        self._said: list[str] = []

    # -- the screen ------------------------------------------------------------------------------------------------

    def compose(self) -> ComposeResult:
        """The summary, the worktrees, what is known of the chosen one, and the news."""
        yield Static(id="summary", markup=False)
        yield DataTable[Text](id="worktrees", cursor_type="row", zebra_stripes=False)
        yield Static(id="detail", markup=False)
        yield OptionList(id="findings", markup=False)
        yield Static(id="news", markup=False)
        yield Footer(show_command_palette=False)

    def on_mount(self) -> None:
        """Begin to follow."""
        table = self._table()
        for head in HEADS:
            table.add_column(head, key=head)
        table.focus()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, self.exit, int(ExitCode.INTERRUPTED))
        self._following = asyncio.ensure_future(self.follower.run())
        self._following.add_done_callback(self._over)
        self.set_interval(AGES, self._show)

    async def on_unmount(self) -> None:
        """End every review that is under way."""
        self._following.cancel()
        await asyncio.wait((self._following,))

    def _over(self, following: asyncio.Future[None]) -> None:
        """Nobody follows any more: the board would be a picture of the past."""
        error = None if following.cancelled() else following.exception()
        if isinstance(error, Exception):
            self.failure = error
            self.exit(int(ExitCode.BUG))

    def _hear(self, _: Board, news: Sequence[News]) -> None:
        if not self.is_running:
            return  # the screen is taken down, and what is followed ends only then
        for one in news:
            self._said.append(f"{time.strftime('%H:%M:%S')} {short(one.path, self._here)}: {one.text}")
        del self._said[:-NEWS]
        if self.rings and any(one.alarm for one in news):
            self.bell()
        self._show()

    def _show(self) -> None:
        """Write what is different from what the screen shows."""
        board = self.follower.board
        self._set("#summary", Text(escape(f"agentreview watch   {summary([place.row for place in board])}")))
        now = time.time()
        cells = {place.row.path: _cells(place, self._here, now) for place in board}
        if cells != self._shown:
            self._fill(cells)
        self._detail()
        self._set("#news", Text("\n".join(map(escape, self._said)), no_wrap=True, overflow="ellipsis"))

    def _fill(self, cells: dict[str, tuple[Text, ...]]) -> None:
        table = self._table()
        if list(cells)[: len(self._shown)] != list(self._shown):  # one is gone: their order is git's
            chosen = self.chosen()
            table.clear()
            self._shown = {}
        else:
            chosen = None
        for path, row in cells.items():
            was = self._shown.get(path)
            if was is None:
                table.add_row(*row, key=path)
                continue
            for head, new, old in zip(HEADS, row, was, strict=True):
                if new != old:
                    table.update_cell(path, head, new, update_width=True)
        self._shown = cells
        if chosen is not None and chosen.row.path in cells:
            table.move_cursor(row=list(cells).index(chosen.row.path))

    def _detail(self) -> None:
        """Show the findings of the worktree that is chosen, and what else has to be known of it."""
        place = self.chosen()
        key = () if place is None else (place.row, place.reviewing)
        if key == self._options:
            return
        self._options = key
        self._set("#detail", Text("\n".join(map(escape, details.told(place))) if place is not None else ""))
        found = self._list()
        at = found.highlighted
        found.clear_options()
        found.add_options(
            Option(Text(details.headline(f), no_wrap=True, overflow="ellipsis", style=_style(f)))
            for f in details.listed(place)
        )
        if found.option_count:
            found.highlighted = min(at or 0, found.option_count - 1)

    def _set(self, name: str, text: Text) -> None:
        self.screen_stack[0].query_one(name, Static).update(text)

    def _table(self) -> DataTable[Text]:
        return self.screen_stack[0].query_one("#worktrees", DataTable)

    def _list(self) -> OptionList:
        return self.screen_stack[0].query_one("#findings", OptionList)

    # -- keys ------------------------------------------------------------------------------------------------------

    def chosen(self) -> Place | None:
        """Return the worktree under the cursor."""
        row = self._table().cursor_row
        paths = list(self._shown)
        return boards.find(self.follower.board, paths[row]) if 0 <= row < len(paths) else None

    def chosen_finding(self) -> Finding | None:
        """Return the finding under the cursor, when the findings have it."""
        place, found = self.chosen(), self._list()
        listed = details.listed(place)
        at = found.highlighted
        return listed[at] if at is not None and at < len(listed) and found.has_focus else None

    def on_data_table_row_highlighted(self, _: DataTable.RowHighlighted) -> None:
        """Another worktree is chosen."""
        self._list().highlighted = None
        self._detail()

    def on_data_table_row_selected(self, _: DataTable.RowSelected) -> None:
        """Go to its findings."""
        if self._list().option_count:
            self._list().focus()

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        """Open the finding."""
        place = self.chosen()
        listed = details.listed(place)
        if place is None or place.row.verdict is None or event.option_index >= len(listed):
            return
        finding = listed[event.option_index]
        one = details.alone(place.row.verdict, finding)
        wide = max(60, self.size.width * 96 // 100 - 7)
        counted = finding.status is not Status.BLOCKING  # what is only counted, otherwise
        text = Text.from_ansi(REPORTERS["terminal"](one, color=True, width=wide, verbose=counted))
        self.push_screen(Reading(text, details.instructions(one), finding, place.row.path))

    def action_copy(self) -> None:
        """Copy what the agent of this worktree has to do."""
        place, finding = self.chosen(), self.chosen_finding()
        if place is None or place.row.verdict is None:
            self.notify("nothing to copy: no verdict", timeout=2, markup=False)
            return
        verdict = place.row.verdict
        self.copy_to_clipboard(details.instructions(verdict if finding is None else details.alone(verdict, finding)))
        self.notify("copied how to fix it", timeout=2, markup=False)

    def action_again(self) -> None:
        """Review once more."""
        place = self.chosen()
        if place is not None and place.row.subject is not None:
            self.follower.again(place.row.path)
        else:
            self.notify("nothing is staged there", timeout=2, markup=False)

    def action_packet(self) -> None:
        """Show what reviewers are sent of this worktree's change."""
        place = self.chosen()
        if place is not None and place.row.subject is not None:
            self.read_packet(place.row.path, self.chosen_finding())
        else:
            self.notify("nothing is staged there", timeout=2, markup=False)

    def read_packet(self, path: str, finding: Finding | None) -> None:
        """Ask for what would be sent, and show it. Nothing is sent."""
        self.notify("asking what is sent", timeout=2, markup=False)
        self.run_worker(self._packet(path, finding), exclusive=True)

    async def _packet(self, path: str, finding: Finding | None) -> None:
        _, out, err = await ended(details.packet(path, finding), self.follower.common)
        text = (out + err).decode("utf-8", "replace") or "nothing would be sent"
        await self.push_screen(Reading(Text("\n".join(map(escape, text.split("\n"))))))

    def action_ring(self) -> None:
        """Switch the bell."""
        self.rings = not self.rings
        self.notify(f"bell {'on' if self.rings else 'off'}", timeout=2, markup=False)

    def action_keys(self) -> None:
        """Show the keys."""
        self.push_screen(Reading(Text(KEYS)))

    async def action_quit(self) -> None:
        """End."""
        self.exit(int(ExitCode.PASS))


def show(path: str | None, *, bell: bool, settle: float) -> int:
    """Run the board until it is quit, and return the exit code. Raises what ended it."""
    app = Cockpit(path, bell=bell, settle=settle)
    code = app.run()
    if app.failure is not None:
        raise app.failure
    return int(ExitCode.BUG if code is None else code)


def _cells(place: Place, here: str, now: float) -> tuple[Text, ...]:
    row = place.row
    text = boards.words(place, now)
    path = escape(short(row.path, here))
    staged = "-" if row.staged is None else str(row.staged)
    style = "cyan" if text.startswith("reviewing") else STYLES.get(row.state, "")
    return (
        Text(f"…{path[-LONGEST:]}" if len(path) > LONGEST else path),
        Text(escape(on(row))),
        Text(staged, justify="right"),
        Text(escape(text), style=style),
    )


def _style(finding: Finding) -> str:
    return {"blocking": "bold red", "advisory": "yellow"}.get(finding.status.value, "dim")
