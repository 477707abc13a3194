//! Deliveries, as both databases keep them.

use pullwright_core::store::StoreError;
use pullwright_protocol::RunId;

use crate::webhooks::Delivery;

/// A delivery's columns: when it came, id, digest, what it asks for, run, attempts.
pub(super) type DeliveryRow = (i64, String, Vec<u8>, String, Option<String>, i64);

/// Rows that were changed come in any order.
pub(super) fn in_order(mut rows: Vec<DeliveryRow>) -> Vec<Delivery> {
    rows.sort();
    rows.into_iter().map(delivery).collect()
}

fn delivery((_, id, digest, asked, run, attempts): DeliveryRow) -> Delivery {
    Delivery {
        id,
        digest,
        asked,
        run: run.map(RunId),
        attempts: attempts.cast_unsigned(),
    }
}

/// Whether a change would have broken an index that keeps something unique.
pub(super) fn is_taken(error: &StoreError) -> bool {
    let StoreError::Database { source, .. } = error else {
        return false;
    };
    let source = source.downcast_ref::<sqlx::Error>();
    let database = source.and_then(sqlx::Error::as_database_error);
    database.is_some_and(|error| error.is_unique_violation())
}

pub(super) fn millis(duration: std::time::Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
