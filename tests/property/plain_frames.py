"""Frames of drafts on their way as processes of SimPy, written plainly from their rules.

Who knows what, and when: the coordinator learns of a miss when the answer is back, the last stage
as it computes the frame. Nothing is shared with the kernel, which knows no events.
"""

from __future__ import annotations

from typing import NamedTuple

import simpy


class Sent(NamedTuple):
    """A frame, in the order of sending."""

    stream: int
    position: int
    sent_ms: float
    back_ms: float
    dropped: bool


class Run:
    """One line of places and some streams that share it."""

    def __init__(self, line, drafting, right, frames, start_ms):
        self.env, self.line, self.drafting, self.right = simpy.Environment(), line, drafting, right
        self.places = [simpy.Resource(self.env) for _ in line.work_ms]
        self.wanted, self.sent, self.back = frames, [], {}
        self.enough = self.env.event()
        for stream in range(len(right)):
            run = Singles(self, stream) if drafting.single else Chunks(self, stream)
            self.env.process(self._begin(run, start_ms[stream]))

    def _begin(self, run, start_ms):
        yield self.env.timeout(start_ms)
        yield from run.coordinate()

    def play(self):
        """Frames that are sent first, all of them back."""
        self.env.run(until=self.enough)
        self.env.run(until=self.env.now + 1e7)
        first = self.sent[: self.wanted]
        return [Sent(b, at, ms, *self.back[number]) for number, b, at, ms in first]

    def is_right(self, stream, position):
        return bool(self.right[stream][position % len(self.right[stream])])

    def send(self, owner, position, epoch):
        """Send a frame on its way."""
        number = len(self.sent)
        self.sent.append((number, owner.stream, position, self.env.now))
        if len(self.sent) == self.wanted:
            self.enough.succeed()
        self.env.process(self._pass(owner, number, position, epoch))

    def _pass(self, owner, number, position, epoch):
        env, answer = self.env, None
        travels = self.line.travel_ms
        for place, (resource, work_ms) in enumerate(
            zip(self.places, self.line.work_ms, strict=True)
        ):
            yield env.timeout(travels[place])
            with resource.request() as turn:
                yield turn
                yield env.timeout(work_ms)
                if place == self.line.tail:
                    answer = owner.at_tail(position, epoch)
                    if answer is not None and answer.drafted:
                        yield env.timeout(self.drafting.draft_ms)
        yield env.timeout(travels[-1])
        dropped = epoch != owner.epoch
        self.back[number] = env.now, dropped
        if not dropped:
            owner.answered(position, answer)
        owner.under_way -= 1
        owner.woken.succeed()
        owner.woken = env.event()


class Coordinator:
    """What streams of both kinds have."""

    def __init__(self, run, stream):
        self.run, self.stream, self.epoch, self.under_way = run, stream, 0, 0
        self.woken = run.env.event()

    def at_tail(self, position, epoch):
        return None


class Chunks(Coordinator):
    """Drafts one chunk after another as if all were right."""

    head = 0

    def coordinate(self):
        run, drafting, count = self.run, self.run.drafting, len(self.run.sent)
        while count < 10 * run.wanted:
            while self.under_way >= drafting.frames:
                yield self.woken
            epoch, ready = self.epoch, run.env.timeout(drafting.draft_ms)
            while not ready.processed and epoch == self.epoch:
                yield ready | self.woken
            if epoch != self.epoch:
                continue
            self.under_way += 1
            run.send(self, self.head, epoch)
            self.head += drafting.drafts
            if len(run.sent) >= 2 * run.wanted:
                return

    def answered(self, position, answer):
        drafts = self.run.drafting.drafts
        for draft in range(position, position + drafts):
            if not self.run.is_right(self.stream, draft):
                self.head, self.epoch = draft + 1, self.epoch + 1
                return
        if self.run.drafting.frames == 1:
            self.head += 1


class Answer(NamedTuple):
    """What the last stage says of a frame: what may be sent then, anew or beyond what there is."""

    anew: bool
    positions: range

    @property
    def drafted(self):
        return self.anew or bool(self.positions)


class Singles(Coordinator):
    """Sends what it has got from the last stage."""

    def __init__(self, run, stream):
        super().__init__(run, stream)
        self.waiting = list(range(run.drafting.drafts + 1))
        self.tail_epoch, self.tail_last = 0, run.drafting.drafts

    def coordinate(self):
        while len(self.run.sent) < 2 * self.run.wanted:
            if self.waiting and self.under_way < self.run.drafting.frames:
                self.under_way += 1
                self.run.send(self, self.waiting.pop(0), self.epoch)
            else:
                yield self.woken

    def at_tail(self, position, epoch):
        if epoch != self.tail_epoch:
            return None
        drafting, after = self.run.drafting, position + 1
        if after <= self.tail_last and not self.run.is_right(self.stream, after):
            self.tail_epoch, self.tail_last = epoch + 1, after + drafting.drafts
            return Answer(True, range(after, self.tail_last + 1))
        known = self.tail_last
        if known - position < drafting.refill:
            self.tail_last = after + drafting.drafts
        return Answer(False, range(known + 1, self.tail_last + 1))

    def answered(self, position, answer):
        if answer.anew:
            self.waiting, self.epoch = [], self.epoch + 1
        self.waiting += answer.positions
