//! The outbox on each database: what may go, in which order, and what becomes of what is taken and not brought back.

use crate::databases::databases;
use consilium::moment::Moment;
use consilium::outbox::follower::{Planner, follow};
use consilium::outbox::{Bell, Channel, Delivery, NewDelivery, State};
use consilium::store::events::{Event, NewEvent};
use consilium::store::outbox::Filter;
use consilium::store::readers::{ABSENT, Reader};
use consilium::store::{Result, Store, Write};
use std::time::Duration;
use tokio::sync::watch;

const MINUTE: Duration = Duration::from_secs(60);

fn at(ms: i64) -> Moment {
    Moment::from_ms(1_000_000 + ms)
}

async fn put(store: &Store, target: &str, lane: &str, kind: &str, now: Moment) {
    let new = NewDelivery {
        channel: Channel::Webhook,
        target,
        lane,
        notice: "EV",
        kind,
        content: "{}".into(),
        dead_because: None,
    };
    let mut write = store.write().await.unwrap();
    write.enqueue(&new, now).await.unwrap();
    write.commit().await.unwrap();
}

async fn claim(store: &Store, target: &str, now: Moment) -> Vec<Delivery> {
    let mut write = store.write().await.unwrap();
    let claimed = write.claim(Channel::Webhook, target, 10, now, now.plus(MINUTE)).await.unwrap();
    write.commit().await.unwrap();
    claimed
}

async fn end(store: &Store, delivery: &Delivery, state: State, now: Moment) {
    let mut write = store.write().await.unwrap();
    write.end(delivery, state, None, now).await.unwrap();
    write.commit().await.unwrap();
}

fn kinds(deliveries: &[Delivery]) -> Vec<&str> {
    deliveries.iter().map(|delivery| delivery.kind.as_str()).collect()
}

#[tokio::test]
async fn of_a_lane_one_goes_at_a_time_and_lanes_do_not_wait_for_each_other() {
    for database in databases().await {
        let store = database.open().await;
        for (lane, kind) in [("one", "a"), ("one", "b"), ("two", "c"), ("one", "d")] {
            put(&store, "t", lane, kind, at(0)).await;
        }
        put(&store, "other", "one", "e", at(0)).await;
        let mut targets = store.due_targets(Channel::Webhook, at(0)).await.unwrap();
        targets.sort();
        assert_eq!(targets, ["other", "t"], "{}", database.name);
        assert_eq!(store.due_targets(Channel::Mail, at(0)).await.unwrap(), [""; 0]);
        let first = claim(&store, "t", at(0)).await;
        assert_eq!(kinds(&first), ["a", "c"], "{}", database.name);
        assert_eq!(kinds(&claim(&store, "t", at(0)).await), [""; 0], "they are taken");
        end(&store, &first[1], State::Delivered, at(1)).await;
        assert_eq!(kinds(&claim(&store, "t", at(1)).await), [""; 0], "the other lane has nothing more");
        end(&store, &first[0], State::Dead, at(2)).await;
        let second = claim(&store, "t", at(2)).await;
        assert_eq!(kinds(&second), ["b"], "{}: one who is given up makes way too", database.name);
        end(&store, &second[0], State::Delivered, at(3)).await;
        assert_eq!(kinds(&claim(&store, "t", at(3)).await), ["d"]);
        end(&store, &second[0], State::Dead, at(4)).await;
        let states = async |state| {
            let filter = Filter { channel: Channel::Webhook, target: Some("t"), state: Some(state) };
            store.deliveries(filter, None, 10).await.unwrap().len()
        };
        assert_eq!((states(State::Delivered).await, states(State::Dead).await), (2, 1), "what has ended stays so");
    }
}

#[tokio::test]
async fn who_does_not_come_back_is_lost_and_somebody_else_goes() {
    for database in databases().await {
        let store = database.open().await;
        put(&store, "t", "one", "a", at(0)).await;
        assert_eq!(claim(&store, "t", at(0)).await[0].attempts, 1);
        let lost = at(0).plus(MINUTE);
        assert_eq!(store.next_due(Channel::Webhook).await.unwrap(), Some(lost), "{}", database.name);
        let again = claim(&store, "t", lost).await;
        assert_eq!((again.len(), again[0].attempts), (1, 2), "{}", database.name);
        let mut write = store.write().await.unwrap();
        write.postpone(&again[0].id, at(90_000), "timeout").await.unwrap();
        write.commit().await.unwrap();
        assert_eq!(kinds(&claim(&store, "t", at(89_999)).await), [""; 0]);
        let third = claim(&store, "t", at(90_000)).await;
        assert_eq!((third[0].attempts, third[0].failure.as_deref()), (3, Some("timeout")));
        // By hand, all is as in the beginning.
        end(&store, &third[0], State::Dead, at(90_001)).await;
        assert_eq!(store.next_due(Channel::Webhook).await.unwrap(), None);
        let mut write = store.write().await.unwrap();
        write.requeue(&third[0], false, at(90_002)).await.unwrap();
        write.commit().await.unwrap();
        assert_eq!(claim(&store, "t", at(90_002)).await[0].attempts, 1);
    }
}

#[tokio::test]
async fn what_is_held_or_superseded_does_not_go() {
    for database in databases().await {
        let store = database.open().await;
        for kind in ["a", "b"] {
            put(&store, "t", "one", kind, at(0)).await;
        }
        let hold = async |is_held| {
            let mut write = store.write().await.unwrap();
            write.hold("t", is_held).await.unwrap();
            write.commit().await.unwrap();
        };
        hold(true).await;
        put(&store, "t", "one", "c", at(0)).await;
        assert_eq!(kinds(&claim(&store, "t", at(9)).await), [""; 0], "{}", database.name);
        hold(false).await;
        assert_eq!(kinds(&claim(&store, "t", at(9)).await), ["a"]);
        let mut write = store.write().await.unwrap();
        assert_eq!(write.unsent("t", 10).await.unwrap(), 3);
        assert_eq!(write.unsent("t", 2).await.unwrap(), 2);
        write.supersede("t", "one", at(10)).await.unwrap();
        assert_eq!(write.unsent("t", 10).await.unwrap(), 0);
        write.commit().await.unwrap();
        put(&store, "t", "one", "d", at(10)).await;
        assert_eq!(kinds(&claim(&store, "t", at(10)).await), ["d"], "{}", database.name);
    }
}

#[tokio::test]
async fn what_is_behind_something_held_stays_behind_it() {
    for database in databases().await {
        let store = database.open().await;
        let hold = async |is_held| {
            let mut write = store.write().await.unwrap();
            write.hold("t", is_held).await.unwrap();
            write.commit().await.unwrap();
        };
        let requeue = async |ended: &Delivery, is_held| {
            let mut write = store.write().await.unwrap();
            write.requeue(ended, is_held, at(5)).await.unwrap();
            let state = write.delivery(&ended.id).await.unwrap().state;
            write.commit().await.unwrap();
            state
        };
        for kind in ["a", "b", "c"] {
            put(&store, "t", "one", kind, at(0)).await;
        }
        let first = claim(&store, "t", at(0)).await.remove(0);
        hold(true).await;
        end(&store, &first, State::Dead, at(1)).await;
        assert_eq!(
            kinds(&claim(&store, "t", at(9)).await),
            [""; 0],
            "{}: the next is held in its place",
            database.name
        );
        assert_eq!(requeue(&first, true).await, State::Waiting, "{}: one of a lane has its turn", database.name);
        hold(false).await;
        for kind in ["b", "a", "c"] {
            let next = claim(&store, "t", at(9)).await;
            assert_eq!(kinds(&next), [kind], "{}: the oldest of those who wait", database.name);
            end(&store, &next[0], State::Delivered, at(9)).await;
        }
        hold(true).await;
        assert_eq!(requeue(&first, true).await, State::Held, "{}", database.name);
        assert_eq!(kinds(&claim(&store, "t", at(9)).await), [""; 0]);
        hold(false).await;
        assert_eq!(kinds(&claim(&store, "t", at(9)).await), ["a"], "{}", database.name);
    }
}

/// Plans nothing, a few events at a time.
struct Few;

impl Planner for Few {
    const READER: Reader = Reader::Webhooks;
    const CHANNEL: Channel = Channel::Webhook;

    async fn is_idle(&self) -> Result<bool> {
        Ok(false)
    }

    fn fit(&self, events: &[Event]) -> usize {
        events.len().min(2)
    }

    async fn plan(&self, _: &mut Write, events: &[Event], _: Moment) -> Result<()> {
        assert_eq!(events.len(), 2, "no more than fits");
        Ok(())
    }
}

#[tokio::test]
async fn who_follows_the_events_stops_between_two_transactions() {
    for database in databases().await {
        let store = database.open().await;
        let mut write = store.write().await.unwrap();
        for _ in 0..6 {
            let event = NewEvent { kind: "meeting.updated", subject: "m", body: serde_json::json!({}) };
            write.append_event(at(0), &event).await.unwrap();
        }
        write.commit().await.unwrap();
        let (stop, stopped) = watch::channel(());
        drop(stop);
        for position in [2, 4] {
            follow(store.clone(), Few, Bell::default(), stopped.clone()).await;
            assert_eq!(store.position(Reader::Webhooks).await.unwrap(), position, "{}", database.name);
        }
        store.unfollow(Reader::Webhooks).await.unwrap();
        follow(store.clone(), Few, Bell::default(), stopped).await;
        assert_eq!(store.position(Reader::Webhooks).await.unwrap(), ABSENT, "{}: nobody follows", database.name);
    }
}

#[tokio::test]
async fn what_is_swept_is_bounded_and_says_whether_there_is_more() {
    for database in databases().await {
        let store = database.open().await;
        let mut write = store.write().await.unwrap();
        let dead = NewDelivery {
            channel: Channel::Webhook,
            target: "t",
            lane: "one",
            notice: "EV",
            kind: "a",
            content: "{}".into(),
            dead_because: Some("too_many_waiting"),
        };
        for _ in 0..1_001 {
            write.enqueue(&dead, at(0)).await.unwrap();
        }
        for is_more in [true, false] {
            assert_eq!(write.sweep_outbox(at(9), at(9)).await.unwrap(), is_more, "{}", database.name);
        }
        write.commit().await.unwrap();
        let filter = Filter { channel: Channel::Webhook, target: None, state: None };
        assert_eq!(store.deliveries(filter, None, 10).await.unwrap().len(), 0, "{}", database.name);
    }
}

#[tokio::test]
async fn what_has_arrived_is_forgotten_before_what_has_not() {
    for database in databases().await {
        let store = database.open().await;
        for (lane, state) in [("one", State::Delivered), ("two", State::Dead), ("three", State::Dead)] {
            put(&store, "t", lane, lane, at(0)).await;
            let ended = if lane == "three" { at(60) } else { at(10) };
            end(&store, &claim(&store, "t", at(0)).await[0], state, ended).await;
        }
        put(&store, "t", "four", "four", at(0)).await;
        let left = async |arrived, dead| {
            let mut write = store.write().await.unwrap();
            write.sweep_outbox(arrived, dead).await.unwrap();
            write.commit().await.unwrap();
            let filter = Filter { channel: Channel::Webhook, target: None, state: None };
            store.deliveries(filter, None, 10).await.unwrap().len()
        };
        assert_eq!(left(at(10), at(0)).await, 4, "{}", database.name);
        assert_eq!(left(at(50), at(0)).await, 3);
        assert_eq!(left(at(99), at(50)).await, 2);
        assert_eq!(left(at(999_999), at(999_999)).await, 1, "what is on its way stays");
    }
}
