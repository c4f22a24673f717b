"""Reply queues over every adapter: made, sent to, received from once, removed."""

from __future__ import annotations

import pytest

from contract.backends import Backend
from headrace.errors import StackNotFound
from headrace.ports import Outgoing


def test_a_reply_is_received_once(backend: Backend) -> None:
    queue = "reply-contract-1"
    backend.replies.make(queue)
    backend.replies.make(queue)
    backend.queues.send(queue, [Outgoing(body='{"over":"1"}'), Outgoing(body='{"over":"2"}')])
    found = []
    for _ in range(5):
        found += [each.body for each in backend.queues.receive(queue, limit=10, wait_s=0)]
    assert sorted(found) == ['{"over":"1"}', '{"over":"2"}']
    assert queue not in backend.queues.known()
    backend.replies.remove(queue)


def test_a_removed_queue_takes_nothing(backend: Backend) -> None:
    queue = "reply-contract-2"
    backend.replies.make(queue)
    backend.replies.remove(queue)
    backend.replies.remove(queue)
    with pytest.raises(StackNotFound):
        backend.queues.send(queue, [Outgoing(body="{}")])
