//! Lists that are read long after they were asked for.

use super::*;
use crate::task::ClockStep;

const HOUR: Duration = Duration::from_secs(3600);
const BALANCE: &str = r#"{"balance":"5","currency":"USD"}"#;

fn list(rate: &str) -> String {
    format!(
        r#"[{{"service":101,"name":"Followers","type":"Default","category":"One","rate":"{rate}","min":1,"max":10000}}]"#
    )
}

/// A sync whose list is on its way.
struct Syncing {
    answer: oneshot::Sender<()>,
    ends: tokio::task::JoinHandle<Result<SyncReport, SyncError>>,
}

impl Bench {
    async fn asks_for_a_list(&self, rate: &str) -> Syncing {
        let answer = self.wire.say_when_told(list(rate));
        self.wire.say(BALANCE);
        let app = Arc::clone(&self.app);
        let ends = self.app.tasks.spawn(async move { app.sync(&ProviderId::new("alpha")).await });
        while self.wire.asked(CallKind::Services) == 0 || self.wire.asked(CallKind::Balance) == 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        Syncing { answer, ends }
    }

    /// The rate that is sold by, and since when it is known.
    fn listed(&self) -> (String, Timestamp) {
        let snapshot = self.app.snapshot.load();
        let list = &snapshot.lists[&ProviderId::new("alpha")];
        (list.services[0].rate.to_string(), list.fetched_at)
    }
}

#[tokio::test(start_paused = true)]
async fn a_list_that_comes_late_is_as_old_as_its_question() {
    for step in [0, 86_400_000, -86_400_000] {
        let bench = bench().await;
        let Syncing { answer, ends } = bench.asks_for_a_list("2").await;
        bench.later(HOUR);
        bench.clock.step_wall(ClockStep(step));
        Arc::clone(&bench.app).follow_clock().await;
        answer.send(()).unwrap();
        ends.await.unwrap().unwrap();
        let asked = Timestamp::from_millis(NOW.millis() + step);
        assert_eq!(bench.listed(), ("2".to_owned(), asked), "whichever way the clock was set");
        assert_eq!(bench.app.store.catalogues().await.unwrap()[0].fetched_at, asked);
    }
}

#[tokio::test(start_paused = true)]
async fn a_list_that_comes_late_takes_no_newer_ones_place() {
    let bench = bench().await;
    let Syncing { answer, ends } = bench.asks_for_a_list("2").await;
    bench.later(HOUR);
    bench.wire.say(list("3"));
    bench.wire.say(BALANCE);
    bench.app.sync(&ProviderId::new("alpha")).await.unwrap();
    let newer = ("3".to_owned(), NOW.plus(HOUR));
    assert_eq!(bench.listed(), newer);
    answer.send(()).unwrap();
    assert!(matches!(ends.await.unwrap(), Err(SyncError::Overtaken)));
    assert_eq!(bench.listed(), newer);
    assert_eq!(bench.app.store.catalogues().await.unwrap()[0].services[0].rate.to_string(), "3");
}
