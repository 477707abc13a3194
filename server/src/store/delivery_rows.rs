//! Deliveries, as both databases keep them.

use pullwright_protocol::RunId;

use crate::webhooks::Delivery;

/// A delivery's columns: when it came, id, what it asks for, run, attempts.
pub(super) type DeliveryRow = (i64, String, String, Option<String>, i64);

/// Rows that were changed come in any order.
pub(super) fn in_order(mut rows: Vec<DeliveryRow>) -> Vec<Delivery> {
    rows.sort();
    rows.into_iter().map(delivery).collect()
}

fn delivery((_, id, asked, run, attempts): DeliveryRow) -> Delivery {
    Delivery {
        id,
        asked,
        run: run.map(RunId),
        attempts: attempts.cast_unsigned(),
    }
}

pub(super) fn millis(duration: std::time::Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
