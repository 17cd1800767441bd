//! `skyferry dashboard`: the page of a whole fleet, served on this machine from what its agents show. The agents are found in
//! the ledger; nothing of the fleet has to know of it.

mod merge;

use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::join_all;
use serde_json::{Value, json};
use skyferry_agent::fleet;
use skyferry_agent::http_server;
use skyferry_agent::pause::{Pause, PauseWatch};
use skyferry_agent::status::{self, Actions, Charts, History, PageSource, STEP};
use skyferry_agent::token::Token;
use skyferry_agent::wiring::open_ledger;
use skyferry_config as config;
use skyferry_config::Settings;
use skyferry_core::ambient;
use skyferry_core::ledger::Ledger;

use crate::cli::{self, Cli};
use crate::locked;
use crate::settings::ConfigArgument;
use crate::status::agents::{AgentPage, Agents};
use crate::usage::{OrUsage as _, UsageError};
use merge::{AgentView, merged, merged_parked};

/// Between two looks at the agents.
const PERIOD: Duration = Duration::from_secs(1);
/// Looks after which the ledger is asked again who there is.
const DISCOVERY: u64 = 15;

/// Serves a page of the whole fleet on this machine: charts, objects in flight, parked objects, outages and agents.
///
/// Agents are found in the ledger, where each keeps a note while it runs; their status pages must be reachable from here.
/// With [status] token_file in the settings the fleet can be paused and resumed from the page. Runs until Ctrl-C.
#[derive(clap::Args)]
#[command(after_help = "Example: skyferry dashboard --config /etc/skyferry/agent.toml")]
pub struct Arguments {
    #[command(flatten)]
    config: ConfigArgument,
    /// The status address of an agent; repeatable [default: those that the ledger knows].
    #[arg(long = "agent", value_name = "URL")]
    agents: Vec<String>,
    /// Address and port of the page; port 0 takes any free one.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:9190")]
    listen: SocketAddr,
}

impl cli::Command for Arguments {
    fn run(&self, cli: &Cli) -> anyhow::Result<u8> {
        let settings = self.config.load()?;
        let agents = Agents::new(&self.agents, settings.listen).or_usage()?;
        let token = settings.status_token_file.as_deref().map(token).transpose()?;
        cli.block_on(async {
            let ledger = match settings.ledger {
                config::LedgerSettings::None => None,
                _ => Some(open_ledger(&settings).await?),
            };
            let (listener, address) = http_server::bind(self.listen, "--listen", "").await?;
            cli.output.line(&format!("the fleet's page is at http://{address}/ until Ctrl-C"))?;
            cli.output.json(json!({ "url": format!("http://{address}/") }))?;
            let fleet = Arc::new(Fleet::new(&settings, agents, ledger.clone(), token.is_some() && ledger.is_some()));
            let actions = token.zip(ledger).map(|(token, ledger)| Actions {
                token: Arc::new(token),
                ledger,
                letters: None,
                rest: PauseWatch::default(),
            });
            let router = status::own_names(status::page_router(fleet.clone(), actions), address.ip());
            tokio::select! {
                () = http_server::serve(listener, router, cli.shutdown.stop.clone()) => {}
                () = fleet.look() => {}
            }
            Ok(cli.stopped())
        })
    }
}

fn token(path: &Path) -> anyhow::Result<Token> {
    Token::read(path, "[status] token_file").map_err(|error| UsageError(error.to_string()).into())
}

struct Fleet {
    agents: Mutex<Agents>,
    ledger: Option<Arc<dyn Ledger>>,
    /// Where from and where to, as the settings have it.
    ends: [String; 2],
    actions: bool,
    report: Mutex<Value>,
    history: History,
}

impl Fleet {
    fn new(settings: &Settings, agents: Agents, ledger: Option<Arc<dyn Ledger>>, actions: bool) -> Fleet {
        let ends = [settings.source.describe(), settings.destination.describe()];
        let report = Mutex::new(merged(&[], &ends, actions, None));
        Fleet { agents: Mutex::new(agents), ledger, ends, actions, report, history: History::default() }
    }

    /// Asks every agent, again and again.
    async fn look(&self) {
        let mut paused = None;
        for look in 0_u64.. {
            if look.is_multiple_of(DISCOVERY)
                && let Some(ledger) = &self.ledger
                && let Ok(members) = fleet::members(&**ledger).await
            {
                locked(&self.agents).discover(members);
            }
            let views = self.ask("status.json").await;
            if look.is_multiple_of(STEP)
                && let Some(ledger) = &self.ledger
                && let Ok(found) = Pause::read(&**ledger).await
            {
                paused = found;
            }
            let report = merged(&views, &self.ends, self.actions, paused.clone());
            if look.is_multiple_of(STEP) {
                self.history.add(ambient::since_epoch().as_secs(), merge::totals(&report));
            }
            *locked(&self.report) = report;
            tokio::time::sleep(PERIOD).await;
        }
    }

    async fn ask(&self, path: &str) -> Vec<AgentView> {
        let (client, pages) = locked(&self.agents).pages();
        let asked = pages.into_iter().map(|page: AgentPage| {
            let client = client.clone();
            async move {
                let answer = page.get(&client, path).await.map_err(|error| format!("{error:#}"));
                AgentView { page, answer }
            }
        });
        join_all(asked).await
    }
}

#[async_trait]
impl PageSource for Fleet {
    async fn report(&self) -> Value {
        locked(&self.report).clone()
    }

    fn charts(&self) -> Charts {
        self.history.charts()
    }

    /// The agents are in the report, as they answer.
    async fn fleet(&self) -> Value {
        let Some(ledger) = &self.ledger else { return json!({ "live": true, "checked": null }) };
        let mut shared = status::shared(&**ledger).await;
        shared["live"] = true.into();
        shared
    }

    async fn parked(&self, search: &str) -> Value {
        let search = percent_encoding::utf8_percent_encode(search, percent_encoding::NON_ALPHANUMERIC);
        merged_parked(self.ask(&format!("parked.json?search={search}")).await)
    }
}
