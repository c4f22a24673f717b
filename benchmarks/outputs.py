"""What tasks return as people write them: one object that a chain passes on, and ten that have little in common."""

from __future__ import annotations

import json

NAMES = (
    "load_invoices", "check_amounts", "match_orders_", "find_customer", "post_payments",
    "write_journal", "send_receipts", "close_account", "notify_owner_", "archive_files",
)  # fmt: skip
"""Of 13 characters each."""


def passed_on(at: int) -> str:
    """An order as the tasks of a chain pass it on, of 200 B: each sets its status, a time and the total."""
    lines = [{"sku": "A-07919", "qty": 2, "unit_price": 19.9 + at}]
    return json.dumps(
        {
            "order_id": "0b8f4c1e-5d27",
            "customer_id": "C-10482",
            "status": NAMES[at].strip("_"),
            "updated_at": f"2026-11-25T18:2{at}:{at * 37 % 60:02d}.{at * 7919 % 1000:03d}Z",
            "total": 39.8 + 2 * at,
            "lines": lines,
        }
    )


ITS_OWN: dict[str, dict[str, object]] = {
    "load_invoices": {
        "batch_id": "2026-11-25-eu", "source": "s3://invoices-eu/2026/11/25/batch-0417.csv",
        "invoice_ids": ["INV-204817", "INV-204818", "INV-204822"], "currency": "EUR", "rows_read": 3,
    },
    "check_amounts": {
        "batch_id": "2026-11-25-eu", "checked": 3, "valid_ids": ["INV-204817", "INV-204822"], "ok": False,
        "rejected": [{"invoice_id": "INV-204818", "reason": "amount differs from order", "difference": 12.4}],
    },
    "match_orders_": {
        "matched": [
            {"invoice_id": "INV-204817", "order_id": "SO-88131"}, {"invoice_id": "INV-204822", "order_id": "SO-88240"},
        ],
        "unmatched": [], "confidence": 0.97, "method": "order_number", "took_ms": 184,
    },
    "find_customer": {
        "customers": [
            {"customer_id": "C-10482", "name": "Lindqvist Papper AB", "country": "SE"},
            {"customer_id": "C-20991", "name": "Moreau et Fils SARL", "country": "FR"},
        ],
        "new": 0, "credit_checked": True,
    },
    "post_payments": {
        "payments": [
            {"payment_id": "pay_8Kx2Vd91", "invoice_id": "INV-204817", "amount": 11240.15, "status": "posted"},
            {"payment_id": "pay_8Kx2Vd97", "invoice_id": "INV-204822", "amount": 6964.4, "status": "posted"},
        ],
    },
    "write_journal": {
        "journal_id": "J-2026-11-25-0031", "period": "2026-11", "balanced": True,
        "entries": [
            {"account": "1510", "debit": 18204.55, "credit": 0}, {"account": "3001", "debit": 0, "credit": 18204.55},
        ],
    },
    "send_receipts": {
        "sent": [
            {"to": "ekonomi@lindqvistpapper.se", "message_id": "0102018f-6a1c-4f"},
            {"to": "compta@moreau-fils.fr", "message_id": "0102018f-6a1d-09"},
        ],
        "bounced": [], "template": "receipt_v3",
    },
    "close_account": {
        "closed": ["C-10482", "C-20991"], "open_balance": 0.0, "closed_at": "2026-11-25T18:20:07Z", "final": True,
        "carried_over": [{"invoice_id": "INV-204818", "amount": 12.4}], "period": "2026-11",
    },
    "notify_owner_": {
        "channel": "#finance-eu", "message_ts": "1764094812.004900", "owner": "dana.whitfield",
        "summary": "2 of 3 invoices paid, 1 held: INV-204818", "attachments": 1, "thread": None,
    },
    "archive_files": {
        "archived": [
            "s3://archive-eu/2026/11/25/batch-0417.csv.gz", "s3://archive-eu/2026/11/25/journal-0031.json",
        ],
        "bytes": 18422, "sha256": "9f2b6c01d4a7e83350c1",
    },
}  # fmt: skip
"""What ten tasks return that have little in common but some ids, of 200 B each."""

PASSED_ON = {name: passed_on(at) for at, name in enumerate(NAMES)}
OWN = {name: json.dumps(value) for name, value in ITS_OWN.items()}
