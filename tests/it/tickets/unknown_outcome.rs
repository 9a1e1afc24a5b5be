//! The connection to PostgreSQL is lost during a commit: the outcome is determined, reported as it is, and nothing
//! is done twice.

use super::*;
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Mutex;

/// The fate of the connection that carries the armed bytes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// The bytes arrive; the answer does not.
    Arrives,
    /// The bytes do not arrive.
    IsLost,
}

type PlannedCut = Arc<Mutex<Option<(&'static [u8], Fate)>>>;

/// Forwards connections to a server, and cuts the first one that carries the armed bytes.
struct Proxy {
    port: u16,
    planned_cut: PlannedCut,
}

impl Proxy {
    fn to(server_port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (port, planned_cut) = (listener.local_addr().unwrap().port(), PlannedCut::default());
        let armed = planned_cut.clone();
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let server = TcpStream::connect(("127.0.0.1", server_port)).unwrap();
                let (answers_from, answers_to) = (server.try_clone().unwrap(), client.try_clone().unwrap());
                std::thread::spawn(move || carry(answers_from, answers_to, &PlannedCut::default()));
                let armed = armed.clone();
                std::thread::spawn(move || carry(client, server, &armed));
            }
        });
        Self { port, planned_cut }
    }

    fn set(&self, bytes: &'static [u8], fate: Fate) {
        *self.planned_cut.lock().unwrap() = Some((bytes, fate));
    }

    fn has_cut(&self) -> bool {
        self.planned_cut.lock().unwrap().is_none()
    }
}

fn carry(mut from: TcpStream, mut to: TcpStream, planned_cut: &PlannedCut) {
    let mut buffer = vec![0; 1 << 16];
    while let Ok(count @ 1..) = from.read(&mut buffer) {
        let sprung = {
            let mut planned_cut = planned_cut.lock().unwrap();
            let is_it = |(bytes, _): &(&[u8], Fate)| buffer[..count].windows(bytes.len()).any(|some| some == *bytes);
            if planned_cut.as_ref().is_some_and(is_it) { planned_cut.take() } else { None }
        };
        match sprung {
            Some((_, Fate::IsLost)) => break,
            Some((_, Fate::Arrives)) => {
                // The answer is lost.
                let _ = from.shutdown(Shutdown::Both);
                let _ = to.write_all(&buffer[..count]);
                std::thread::sleep(Duration::from_millis(300));
                break;
            }
            None if to.write_all(&buffer[..count]).is_err() => break,
            None => {}
        }
    }
    let _ = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
}

/// A replica that connects through a proxy, and one that does not.
async fn replicas() -> (Replica, Proxy, Replica) {
    let url = postgres().database().await;
    let (before, rest) = url.rsplit_once(':').unwrap();
    let (port, rest) = rest.split_once('/').unwrap();
    let proxy = Proxy::to(port.parse().unwrap());
    let behind = format!("{before}:{}/{rest}", proxy.port);
    let place = |url: &str| TestDatabase {
        url: Url::Postgres(parse_postgres_url(url)),
        store: TicketStorage::Database,
        _folder: None,
    };
    (place(&behind).replica().await, proxy, place(&url).replica().await)
}

async fn redeem(replica: &Replica, token: &TicketToken) -> Result<(), EventCommitError<Box<Event>>> {
    let mut event = Event::new(EventType::TicketRedeemed, Outcome::Ok);
    event.ticket_id = Some(token.ticket_id());
    let step = replica.tickets.store.step_to_end(token.ticket_id(), redeemed(None, token));
    replica.audit.commit(event, Some(step)).await
}

async fn redemptions(replica: &Replica, token: &TicketToken) -> i64 {
    let sql = "SELECT count(*) FROM audit_events WHERE type = 'ticket.redeemed' AND ticket_id = $1";
    let id = token.ticket_id().to_string();
    replica.database.run(sql, &[(&id).into()]).await.unwrap()[0].number(0).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_commit_that_arrived_is_reported_as_done() {
    let (replica, proxy, other) = replicas().await;
    let token = replica.new_ticket("a").await;
    proxy.set(b"COMMIT\0", Fate::Arrives);
    assert!(redeem(&replica, &token).await.is_ok());
    assert!(proxy.has_cut());
    assert_eq!(redemptions(&other, &token).await, 1);
    assert_eq!(other.rejection(&token, start()).await, Rejection::Redeemed { at: start() });
    // The chain continues.
    assert!(replica.new_ticket("b").await.ticket_id() != token.ticket_id());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_commit_that_was_lost_is_reported_as_not_done() {
    let (replica, proxy, other) = replicas().await;
    let token = replica.new_ticket("a").await;
    proxy.set(b"COMMIT\0", Fate::IsLost);
    assert!(matches!(redeem(&replica, &token).await, Err(EventCommitError::Failed(_))));
    assert!(proxy.has_cut());
    assert_eq!(redemptions(&other, &token).await, 0);
    assert!(other.present(&token, start()).await.is_ok(), "it waits");
    assert!(redeem(&replica, &token).await.is_ok());
    assert_eq!(redemptions(&other, &token).await, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_event_is_written_once_after_an_unknown_outcome() {
    for fate in [Fate::Arrives, Fate::IsLost] {
        let (replica, proxy, other) = replicas().await;
        proxy.set(b"policy.created", fate);
        assert!(replica.audit.record(Event::new(EventType::PolicyCreated, Outcome::Ok)).await.is_ok());
        assert!(proxy.has_cut());
        assert_eq!(other.events().await, 1);
    }
}

#[tokio::test]
async fn an_event_that_the_database_refuses_does_not_affect_others() {
    for place in [TestDatabase::sqlite(), TestDatabase::postgres().await] {
        let replica = place.replica().await;
        let refuse = match place.url {
            Url::Postgres(_) => {
                "ALTER TABLE audit_events ADD CONSTRAINT no_such_branch CHECK (branch IS NULL OR branch <> 'refused')"
            }
            _ => {
                "CREATE TRIGGER no_such_branch BEFORE INSERT ON audit_events WHEN NEW.branch = 'refused' \
                 BEGIN SELECT RAISE(ABORT, 'refused'); END"
            }
        };
        replica.database.run(refuse, &[]).await.unwrap();
        let tokens = futures_util::future::join_all((0..20).map(|pod: usize| {
            let replica = &replica;
            async move { replica.new_ticket(&pod.to_string()).await }
        }))
        .await;
        // All events in one group, with the failing one in the middle.
        let redemptions = tokens.iter().enumerate().map(|(place, token)| {
            let mut event = Event::new(EventType::TicketRedeemed, Outcome::Ok);
            event.ticket_id = Some(token.ticket_id());
            event.branch = Some(Branch::try_from(if place == 7 { "refused" } else { "main" }).unwrap());
            let step = replica.tickets.store.step_to_end(token.ticket_id(), redeemed(None, token));
            replica.audit.commit(event, Some(step))
        });
        let outcomes = futures_util::future::join_all(redemptions).await;
        for (place, (outcome, token)) in outcomes.into_iter().zip(&tokens).enumerate() {
            assert_eq!(outcome.is_ok(), place != 7, "{place}");
            assert_eq!(
                replica.present(token, start()).await.is_ok(),
                place == 7,
                "the ticket of the failed event still waits"
            );
        }
        assert_eq!(replica.events().await, 39);
        assert!(replica.audit.is_writable());
    }
}
