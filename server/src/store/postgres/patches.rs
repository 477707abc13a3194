//! Patches. A large one is written and read in parts, beside the writer: on a slow line it would hold up the
//! leases of all runs, and take longer than an answer may.

use std::time::Duration;

use pullwright_core::store::{Epoch, StoreError};
use pullwright_protocol::RunId;
use sqlx::Row;
use sqlx::postgres::PgRow;
use uuid::Uuid;

use super::PostgresStore;
use super::reader::Question;
use super::transaction::PATIENCE;
use crate::store::failure::refused;

/// The most bytes that are sent or fetched at once: a line that carries less of them within the time limit of
/// an answer is no line.
const PART_BYTES: usize = 256 << 10;

/// How often a patch that is replaced while it is read is read anew.
const MAX_READS: u32 = 5;

const ADD_PART: &str = "INSERT INTO patch_parts (run, upload, part, bytes) VALUES ($1, $2, $3, $4) \
     ON CONFLICT DO NOTHING";
/// Only the owner's parts become the patch. The run's row is held for this one statement.
const USE_PARTS: &str = "WITH owned AS (\
       SELECT id FROM runs WHERE id = $1 AND epoch = $2 AND outcome IS NULL FOR SHARE), \
     used AS (\
       INSERT INTO patches (run, patch, upload, parts) SELECT id, '', $3, $4 FROM owned \
       ON CONFLICT (run) DO UPDATE SET patch = '', upload = excluded.upload, parts = excluded.parts \
       RETURNING run), \
     replaced AS (DELETE FROM patch_parts USING used WHERE patch_parts.run = used.run AND upload <> $3) \
     SELECT 1 FROM used";
const DROP_PARTS: &str = "DELETE FROM patch_parts WHERE run = $1 AND upload = $2";
const PATCH: &str = "SELECT patch, upload, parts FROM patches WHERE run = $1";
const PART: &str = "SELECT bytes FROM patch_parts WHERE run = $1 AND upload = $2 AND part = $3";

const PUTTING: &str = "storing a patch";
const READING: &str = "reading a patch";

/// A patch as it is stored.
enum Stored {
    Whole(Vec<u8>),
    Parts { upload: String, count: i32 },
}

impl PostgresStore {
    pub(super) async fn put_any_patch(
        &self,
        run: &RunId,
        epoch: Epoch,
        patch: &[u8],
    ) -> Result<(), StoreError> {
        if patch.len() <= PART_BYTES {
            return self.writer.put_patch(run, epoch, patch).await;
        }
        let upload = Uuid::now_v7().to_string();
        let mut count = 0;
        for part in patch.chunks(PART_BYTES) {
            if let Err(error) = self.add_part(run, &upload, count, part).await {
                self.give_up(run, &upload).await;
                return Err(error);
            }
            count += 1;
        }
        // Where it is not known whether they are used, they stay: the run's end removes what is not.
        if self.use_parts(run, epoch, &upload, count).await? {
            return Ok(());
        }
        let dropping = || sqlx::query(DROP_PARTS).bind(&run.0).bind(&upload);
        self.write(dropping).await?;
        match self.reader.record(run).await? {
            Some(_) => Err(StoreError::Fenced(run.clone())),
            None => Err(StoreError::UnknownRun(run.clone())),
        }
    }

    pub(super) async fn any_patch(&self, run: &RunId) -> Result<Option<Vec<u8>>, StoreError> {
        for _ in 0..MAX_READS {
            let (upload, count) = match self.stored_patch(run).await? {
                None => return Ok(None),
                Some(Stored::Whole(patch)) => return Ok(Some(patch)),
                Some(Stored::Parts { upload, count }) => (upload, count),
            };
            if let Some(patch) = self.joined(run, &upload, count).await? {
                return Ok(Some(patch));
            }
        }
        let reason = format!("the patch of run {run} was replaced each time it was read");
        Err(refused(READING)(reason))
    }

    async fn add_part(
        &self,
        run: &RunId,
        upload: &str,
        part: i32,
        bytes: &[u8],
    ) -> Result<(), StoreError> {
        let adding = || {
            sqlx::query(ADD_PART)
                .bind(&run.0)
                .bind(upload)
                .bind(part)
                .bind(bytes)
        };
        self.write(adding).await.map(drop)
    }

    /// Removes the parts of an upload that broke off, if the database is there. What it leaves goes with the
    /// run's next patch, or at its end.
    async fn give_up(&self, run: &RunId, upload: &str) {
        let dropping = || sqlx::query(DROP_PARTS).bind(&run.0).bind(upload);
        let once = Duration::ZERO;
        let dropped = self.reader.ask_for(once, PUTTING, dropping, |_| Ok(()));
        if let Err(error) = dropped.await {
            tracing::warn!(%run, %error, "parts of a patch that broke off are left behind until the run ends");
        }
    }

    /// Answers whether the run is the owner's.
    async fn use_parts(
        &self,
        run: &RunId,
        epoch: Epoch,
        upload: &str,
        count: i32,
    ) -> Result<bool, StoreError> {
        let using = || {
            sqlx::query(USE_PARTS)
                .bind(&run.0)
                .bind(epoch.0.cast_signed())
                .bind(upload)
                .bind(count)
        };
        Ok(self.write(using).await? > 0)
    }

    /// Waits for a database that is away as long as other writes do. Answers how many rows came back.
    async fn write<'q>(&self, question: impl Fn() -> Question<'q>) -> Result<usize, StoreError> {
        let writing = self.reader.ask_for(PATIENCE, PUTTING, question, |_| Ok(()));
        Ok(writing.await?.len())
    }

    async fn stored_patch(&self, run: &RunId) -> Result<Option<Stored>, StoreError> {
        let question = || sqlx::query(PATCH).bind(&run.0);
        Ok(self.reader.ask(READING, question, stored).await?.pop())
    }

    /// The parts together; nothing where another patch has taken their place.
    async fn joined(
        &self,
        run: &RunId,
        upload: &str,
        count: i32,
    ) -> Result<Option<Vec<u8>>, StoreError> {
        let mut patch = Vec::new();
        for part in 0..count {
            let question = || sqlx::query(PART).bind(&run.0).bind(upload).bind(part);
            let bytes = |row: &PgRow| row.try_get::<Vec<u8>, _>(0);
            let Some(bytes) = self.reader.ask(READING, question, bytes).await?.pop() else {
                return Ok(None);
            };
            patch.extend(bytes);
        }
        Ok(Some(patch))
    }
}

fn stored(row: &PgRow) -> Result<Stored, sqlx::Error> {
    let upload: Option<String> = row.try_get(1)?;
    Ok(match upload {
        None => Stored::Whole(row.try_get(0)?),
        Some(upload) => Stored::Parts {
            upload,
            count: row.try_get(2)?,
        },
    })
}
