//! One unit of work: the steps of a group, and the events of those that could be done, linked behind the head.

use super::chain::{Head, Link};
use super::pending::Pending;
use super::writer::Writer;
use crate::database::{Failed, NotDone, Param, Step, StepRunner, Work};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::sleep;

const TABLE: &str =
    "audit_events (chain, seq, prev_hash, hash, time, type, outcome, subject, repo, branch, ticket_id, event)";
const COLUMNS: usize = 12;
/// How soon a database that could not say what it did is asked again.
const ASK_AGAIN: Duration = Duration::from_millis(200);

/// Why a group is not written.
pub(super) enum NotWritten {
    /// The database failed, and nothing was done.
    Database(Failed),
    /// An event cannot be JSON, which only a programming error brings about.
    Json(serde_json::Error),
}

/// The steps of a group that were done, by who did them.
type Done<'a> = Vec<(&'a Arc<dyn StepRunner>, Vec<&'a Step>)>;

impl Writer {
    /// Writes a group: all that can be done of it, or nothing. Of each event, in their order, whether it was written;
    /// those whose step could not be done are not.
    pub(super) async fn write_group(&mut self, group: &[Pending]) -> Result<Vec<bool>, NotWritten> {
        let mut work = self.database.begin_later();
        let mut verdicts = vec![true; group.len()];
        let mut done = Done::new();
        for (runner, places) in by_runner(group) {
            let steps: Vec<&Step> = places.iter().filter_map(|place| group[*place].step.as_ref()).collect();
            let could = match runner.run(&mut work, &steps).await {
                Ok(could) => could,
                Err(failed) => {
                    end(&done, false);
                    return Err(NotWritten::Database(failed));
                }
            };
            let mut did = Vec::with_capacity(steps.len());
            for ((place, step), could) in places.into_iter().zip(steps).zip(could) {
                verdicts[place] = could;
                if could {
                    did.push(step);
                }
            }
            done.push((runner, did));
        }
        let written: Vec<&Pending> =
            group.iter().zip(&verdicts).filter(|(_, done)| **done).map(|(one, _)| one).collect();
        if written.is_empty() {
            return Ok(verdicts);
        }
        let (head, links) = self.link(&written).map_err(|error| {
            end(&done, false);
            NotWritten::Json(error)
        })?;
        let began = work.has_begun();
        let outcome = self.insert(work, &written, &links).await;
        let committed = match outcome {
            Ok(()) => Ok(()),
            Err(NotDone::Undone(failed)) => Err(failed),
            Err(NotDone::Unknown(failed)) => self.find_out(began, &written, &links, failed).await,
        };
        end(&done, committed.is_ok());
        committed.map_err(NotWritten::Database)?;
        self.head = head;
        self.copy(&links);
        Ok(verdicts)
    }

    /// Links events behind the head, which stays where it is.
    fn link(&self, written: &[&Pending]) -> Result<(Head, Vec<Link>), serde_json::Error> {
        let now = self.clock.now();
        let mut head = self.head.clone();
        let links = written.iter().map(|pending| self.hasher.link(&mut head, &pending.event, now));
        let links = links.collect::<Result<_, _>>()?;
        Ok((head, links))
    }

    async fn insert(&self, work: Work, written: &[&Pending], links: &[Link]) -> Result<(), NotDone> {
        let tickets = ticket_ids(written);
        let mut params: Vec<Param> = Vec::with_capacity(links.len() * COLUMNS);
        for ((link, pending), ticket_id) in links.iter().zip(written).zip(&tickets) {
            params.extend(row(&self.head.chain, link, pending, ticket_id.as_deref()));
        }
        work.finish(TABLE, COLUMNS, &params).await
    }

    /// Whether an event could be made durable now: one is written, and taken back.
    pub(super) async fn can_write(&self) -> bool {
        let nothing = || Param::from("");
        let row: [Param; COLUMNS] = [
            (&self.head.chain).into(),
            (self.head.seq + 1).into(),
            nothing(),
            nothing(),
            nothing(),
            nothing(),
            nothing(),
            Param::NoText,
            Param::NoText,
            Param::NoText,
            Param::NoText,
            nothing(),
        ];
        self.database.begin_later().insert(TABLE, COLUMNS, &row).await.is_ok()
    }

    /// The database was lost while it made a group durable. Asks it until it says whether it did. No other event can be
    /// written before that is known: it would have the same place in the chain.
    ///
    /// Where the group was a transaction, the place of its first event tells: whoever wants to take it waits for the
    /// transaction, if that is still under way, and then finds it taken or free. Where it was a single statement, which may
    /// even be still on its way, it is sent again until it is there, by whichever of the two.
    async fn find_out(
        &mut self,
        was_transaction: bool,
        written: &[&Pending],
        links: &[Link],
        failed: Failed,
    ) -> Result<(), Failed> {
        tracing::error!(
            kind = failed.kind(),
            "the database connection was lost during an audit commit; checking its outcome"
        );
        self.set_writable(false);
        loop {
            let again = if was_transaction {
                let mut work = self.database.begin_later();
                let first = row(&self.head.chain, &links[0], written[0], None);
                match work.insert(TABLE, COLUMNS, &first).await {
                    Ok(()) => return Err(failed),
                    Err(error) => error,
                }
            } else {
                match self.insert(self.database.begin_later(), written, links).await {
                    Ok(()) => return Ok(()),
                    Err(NotDone::Undone(error) | NotDone::Unknown(error)) => error,
                }
            };
            if again.is_duplicate() {
                return Ok(());
            }
            sleep(ASK_AGAIN).await;
        }
    }
}

fn ticket_ids(written: &[&Pending]) -> Vec<Option<String>> {
    written.iter().map(|one| one.event.ticket_id.map(|id| id.to_string())).collect()
}

/// The values of [`TABLE`].
fn row<'a>(chain: &'a str, link: &'a Link, pending: &'a Pending, ticket_id: Option<&'a str>) -> [Param<'a>; COLUMNS] {
    let event = &pending.event;
    [
        chain.into(),
        link.seq.into(),
        (&link.prev_hash).into(),
        (&link.hash).into(),
        (&link.time).into(),
        event.kind.as_str().into(),
        event.outcome.as_str().into(),
        event.caller.as_ref().map(|caller| caller.subject.as_str()).into(),
        event.repo_written().into(),
        event.branch_written().into(),
        ticket_id.into(),
        (&link.text).into(),
    ]
}

/// The places of those that have a step, by who does it.
fn by_runner(group: &[Pending]) -> Vec<(&Arc<dyn StepRunner>, Vec<usize>)> {
    let mut runners: Vec<(&Arc<dyn StepRunner>, Vec<usize>)> = Vec::new();
    for (place, pending) in group.iter().enumerate() {
        let Some(step) = &pending.step else { continue };
        match runners.iter_mut().find(|(runner, _)| Arc::ptr_eq(runner, step.runner())) {
            Some((_, places)) => places.push(place),
            None => runners.push((step.runner(), vec![place])),
        }
    }
    runners
}

fn end(done: &Done<'_>, committed: bool) {
    for (runner, steps) in done {
        runner.ended(steps, committed);
    }
}
