//! One cell: a request kind meets an odd answer so often, and then the fault ends. What must hold is the same for all.

use std::time::{Duration, Instant as Wall};

use sandbox::{Operation, Rule};
use skyferry_agent::janitor::SweepScope;
use skyferry_core::model::Key;
use skyferry_core::store::ListFrom;
use tokio::time::sleep;

use crate::answers::{Answer, Means};
use crate::fixture::{FROM, Fixture, LARGE, Service, TO};
use crate::log::Log;
use crate::requests::{Request, Work};

/// How long the fault lasts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lasts {
    Once,
    Ten,
    /// For all objects, for twenty minutes: long enough to give something up that must not be.
    Long,
    /// For one object, while others pass.
    ForOne,
}

#[derive(Clone, Copy)]
pub struct Cell {
    pub service: Service,
    pub request: &'static Request,
    pub answer: &'static Answer,
    pub lasts: Lasts,
}

/// What came of it.
pub struct Seen {
    pub problems: Vec<String>,
    /// The request was sent, so that the answer was met.
    pub met: bool,
    pub requests: u64,
    pub took: Duration,
}

const SUBJECT: &str = "one";
const OTHER: &str = "other";
const LONG: Duration = Duration::from_secs(20 * 60);
/// Ten failures with the pauses between them are over by then, and all attempts of an object that fails alone: eight, each
/// with the longest Retry-After that is believed.
const PATIENCE: Duration = Duration::from_secs(3 * 3600);
/// When the fault has ended, so does the work, within this: the longest Retry-After that is believed, and some tries.
const RECOVERY: Duration = Duration::from_secs(3600);
/// While one fails, the other one changes, and passes, so often.
const BETWEEN: Duration = Duration::from_secs(150);

impl Cell {
    /// What the answer is to be taken for where it answers this.
    fn means(&self) -> Means {
        use Operation::{AbortUpload, UploadPart};
        match (self.request.operation, self.answer.name) {
            // The wrong ETag goes back with the Complete, which is refused.
            (UploadPart, "another ETag") => Means::Refusal,
            // What an abort is there to bring about.
            (AbortUpload, "404 NoSuchKey" | "404 NoSuchUpload") => Means::Odd,
            _ => self.answer.means,
        }
    }

    /// Runs the cell on a clock of its own.
    pub fn run(self) -> Seen {
        let began = Wall::now();
        let log = Log::default();
        let _listening = log.listen();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build();
        let mut run = Run { cell: self, rig: None, log, problems: Vec::new() };
        runtime.expect("a runtime").block_on(run.all());
        let rig = run.rig.as_ref().expect("made");
        let (met, requests) = (rig.peer().faults().met() > 0, rig.peer().counts().requests.values().sum());
        Seen { problems: run.problems, met, requests, took: began.elapsed() }
    }
}

struct Run {
    cell: Cell,
    rig: Option<Fixture>,
    log: Log,
    problems: Vec<String>,
}

impl Run {
    fn rig(&self) -> &Fixture {
        self.rig.as_ref().expect("made before anything else")
    }

    fn problem(&mut self, what: impl Into<String>) {
        self.problems.push(what.into());
    }

    async fn all(&mut self) {
        let mut rig = Fixture::new(self.cell.service);
        match self.cell.request.work {
            Work::List => {
                ["a", SUBJECT, "z"].into_iter().for_each(|key| rig.set(key, b"1"));
                self.rig = Some(rig);
                self.repeat(Asks::List).await;
            }
            Work::Sweep => {
                rig.set(SUBJECT, b"1");
                rig.start(false);
                rig.tell(SUBJECT, 0);
                rig.ended(RECOVERY).await;
                rig.stop().await;
                rig.peer().begin_upload(TO, SUBJECT).expect("begun");
                self.rig = Some(rig);
                self.repeat(Asks::Sweep).await;
            }
            _ => {
                self.prepare(&mut rig).await;
                self.rig = Some(rig);
                self.jobs().await;
                self.rig.as_mut().expect("made").stop().await;
                self.judge();
            }
        }
        self.bounded();
    }

    /// Both objects are there and copied; then they change, and the agent gets the event.
    async fn prepare(&self, rig: &mut Fixture) {
        let Request { work, known, tags, .. } = *self.cell.request;
        for key in [SUBJECT, OTHER] {
            rig.set(key, b"the first state");
            rig.tell(key, 0);
        }
        rig.start(tags);
        assert!(rig.ended(RECOVERY).await, "without a fault: {}", self.log.text());
        if !known {
            rig.ledger.forget();
        }
        rig.judge();
        self.log.clear();
        rig.set(OTHER, b"another state");
        match work {
            Work::Change { large: true } => rig.set(SUBJECT, &LARGE),
            Work::Resume { stale } => {
                rig.set(SUBJECT, &LARGE);
                rig.leave_upload(SUBJECT, stale).await;
            }
            Work::Remove => assert!(rig.peer().remove_object(FROM, SUBJECT)),
            _ => rig.set(SUBJECT, b"the second state"),
        }
    }

    /// The fault begins.
    fn strike(&self) {
        let Request { operation, source, .. } = *self.cell.request;
        for fault in (self.cell.answer.fault)() {
            let rule = Rule::on(operation, fault).bucket(if source { FROM } else { TO });
            self.rig().peer().faults().add(match self.cell.lasts {
                Lasts::Once => rule,
                Lasts::Ten => rule.times(10),
                Lasts::Long => rule.always(),
                Lasts::ForOne => rule.key(SUBJECT).always(),
            });
        }
    }

    async fn jobs(&mut self) {
        self.strike();
        let rig = self.rig();
        let received = u32::from(self.cell.request.again);
        rig.tell(SUBJECT, received);
        rig.tell(OTHER, received);
        match self.cell.lasts {
            Lasts::Once | Lasts::Ten => {}
            Lasts::Long => sleep(LONG).await,
            Lasts::ForOne => {
                let mut passed = Duration::ZERO;
                while passed < PATIENCE && rig.queue.left(&format!("\"{SUBJECT}\"")) > 0 {
                    sleep(BETWEEN).await;
                    passed += BETWEEN;
                    rig.set(OTHER, format!("state {}", passed.as_secs()).as_bytes());
                    // Received before, so that it reads the destination, too.
                    rig.tell(OTHER, 1);
                }
                if passed >= PATIENCE {
                    self.problem("while others pass, one that always fails is not parked");
                }
            }
        }
        if self.cell.lasts == Lasts::Long || self.cell.lasts == Lasts::ForOne {
            self.rig().peer().faults().clear();
        }
        let limit = if self.cell.lasts == Lasts::Ten { PATIENCE } else { RECOVERY };
        if !self.rig().ended(limit).await {
            self.problem("the fault has ended, the work has not");
        }
    }

    fn judge(&mut self) {
        let rig = self.rig();
        let mut problems = rig.ledger.wrong();
        let (from, to) = (rig.peer().object(FROM, SUBJECT), rig.peer().object(TO, SUBJECT));
        let equal = match (&from, &to) {
            (Some(from), Some(to)) => (from.size, from.crc32c) == (to.size, to.crc32c),
            (from, to) => from.is_none() && to.is_none(),
        };
        if from.is_some() && rig.peer().history(TO, SUBJECT).iter().any(Option::is_none) {
            problems.push("a good copy was deleted".into());
        }
        let sources = rig.peer().history(FROM, SUBJECT);
        let states: Vec<_> = sources.iter().flatten().map(|state| state.crc32c).collect();
        if rig.peer().history(TO, SUBJECT).iter().flatten().any(|state| !states.contains(&state.crc32c)) {
            problems.push("something was published that the source never was".into());
        }
        let parked = rig.queue.parked();
        for (body, reason) in &parked {
            let subject = body.contains(&format!("\"{SUBJECT}\""));
            if !self.may_be_parked(subject) {
                let of = if subject { "" } else { "another object, " };
                problems.push(format!("parked ({of}{reason})"));
            } else if !self.names_cause(reason) {
                problems.push(format!("parked for another reason than the cause ({reason})"));
            }
        }
        if !equal && !parked.iter().any(|(body, _)| body.contains(&format!("\"{SUBJECT}\""))) {
            problems.push("the destination is not as the source".into());
        }
        // A HEAD has no words: what another request has settled at once is no failure, and nobody waited.
        let waited = rig.queue.released() > 1 || self.cell.request.operation != Operation::HeadObject;
        let repeated = self.cell.lasts != Lasts::Once && rig.peer().faults().met() > 2 && waited;
        if repeated && self.cell.means() != Means::Odd && !self.log.lines().any(|line| self.names_cause(&line)) {
            problems.push("the log does not name the cause".into());
        }
        self.problems.extend(problems);
    }

    /// An object's own refusal; one that always fails while others pass; and what no other object asks for meanwhile.
    fn may_be_parked(&self, subject: bool) -> bool {
        let Cell { request, lasts, .. } = self.cell;
        let means = self.cell.means();
        let alone = subject && !matches!(request.work, Work::Change { large: false });
        match lasts {
            Lasts::ForOne => subject,
            Lasts::Long => alone && means == Means::Refusal,
            Lasts::Once | Lasts::Ten => means == Means::Refusal,
        }
    }

    fn names_cause(&self, text: &str) -> bool {
        let words = self.cell.answer.words;
        // A fault for all may meet either.
        let named = text.contains(&format!("/{SUBJECT}")) || text.contains(&format!("/{OTHER}"));
        // Whoever believes the answer to an abort meets the upload itself.
        let stays = self.cell.request.operation == Operation::AbortUpload && text.contains("is still listed");
        named && (words.is_empty() || stays || words.iter().any(|word| text.contains(word)))
    }

    fn bounded(&mut self) {
        let most = match self.cell.lasts {
            Lasts::Once => 60,
            Lasts::Ten => 150,
            // An outage: each probe is a job, and a large object's job some twenty requests.
            Lasts::Long => 500,
            // The others ask, too.
            Lasts::ForOne => 800,
        };
        let requests: u64 = self.rig().peer().counts().requests.values().sum();
        if requests > most {
            self.problem(format!("{requests} requests"));
        }
    }
}

/// What is asked of a store directly, until it is answered.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Asks {
    List,
    Sweep,
}

impl Run {
    /// An error may be the answer for as long as the fault lasts; a wrong success never.
    async fn repeat(&mut self, asks: Asks) {
        self.strike();
        let long = matches!(self.cell.lasts, Lasts::Long | Lasts::ForOne);
        for attempt in 0..30 {
            match self.ask(asks).await {
                Ok(true) => return,
                Ok(false) => return self.problem("taken for a success"),
                Err(error) if attempt == 1 && !self.names_bucket(&error) => {
                    self.problem(format!("the error does not name the cause ({error})"));
                }
                Err(_) => {}
            }
            sleep(Duration::from_secs(60)).await;
            if long && attempt == 9 {
                self.rig().peer().faults().clear();
            }
        }
        self.problem("the fault has ended, the answer is still not understood");
    }

    fn names_bucket(&self, error: &str) -> bool {
        let words = self.cell.answer.words;
        let bucket = if self.cell.request.source { FROM } else { TO };
        error.contains(bucket) && (words.is_empty() || words.iter().any(|word| error.contains(word)))
    }

    async fn ask(&self, asks: Asks) -> Result<bool, String> {
        let rig = self.rig();
        match asks {
            Asks::Sweep => {
                let swept = rig.janitor().sweep(SweepScope::Since(0)).await.map_err(|error| error.to_string())?;
                // Some services' word for "there are none": then the next sweep finds it.
                if swept.aborted == 0 && self.cell.answer.name.contains("NoSuchUpload") {
                    return Err(format!("{TO}: NoSuchUpload, so none"));
                }
                Ok(swept.aborted == 1 && rig.peer().open_uploads(TO).is_empty())
            }
            Asks::List => {
                let (mut keys, mut token) = (Vec::new(), None::<String>);
                for _page in 0..20 {
                    let from = token.as_deref().map_or(ListFrom::Start, ListFrom::Token);
                    let page = rig.source.list(FROM, &Key::default(), from).await.map_err(|error| error.to_string())?;
                    keys.extend(page.objects.into_iter().map(|listed| listed.key.to_string()));
                    token = page.next;
                    if token.is_none() {
                        return Ok(keys == ["a", SUBJECT, "z"]);
                    }
                }
                Ok(false)
            }
        }
    }
}
