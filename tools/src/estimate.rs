//! What it would take to copy what differs: requests, time and money, by prices that the user can write down.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use indicatif::{BinaryBytes, DecimalBytes, HumanCount, HumanDuration};
use serde::{Deserialize, Serialize};
use skyferry_config as config;
use skyferry_config::Settings;
use skyferry_core::plan::{PartSettings, Plan, SinkLimits, plan};

const SHIPPED: &str = include_str!("../../config/prices.toml");
const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;
/// The histogram's upper ends; larger ones come behind the last.
const STEPS: [u64; 7] = [0, 16 * KIB, MIB, 16 * MIB, 128 * MIB, GIB, 100 * GIB];
const PAGE: u64 = 1000;
const GB: f64 = 1e9;

/// Who would copy.
#[derive(clap::Args)]
pub struct FleetArguments {
    /// For --dry-run: number of agents.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    pub agents: u32,
    /// For --dry-run: bytes per second of one agent.
    #[arg(long, value_name = "SIZE", default_value = "100MB", value_parser = size)]
    pub bandwidth: u64,
}

fn size(text: &str) -> Result<u64, String> {
    match config::size(text) {
        Ok(0) => Err("nothing would ever arrive".into()),
        Ok(size) => Ok(size),
        Err(wanted) => Err(format!("not {wanted}")),
    }
}

macro_rules! prices {
    ($($name:ident { $($field:ident: $type:ty),* })*) => { $(
        #[derive(Clone, Deserialize)]
        #[serde(deny_unknown_fields)]
        struct $name { $($field: $type),* }
    )* };
}
// US dollars; requests by the thousand.
prices! {
    Prices { source: Source, destination: BTreeMap<String, Destination>, queue: Queue, ledger: Ledger, agent: Agent }
    Source { get: f64, list: f64, egress: f64 }
    Destination { write: f64, list: f64 }
    Queue { request: f64 }
    Ledger { write: f64 }
    Agent { hour: f64, objects_per_second: f64 }
}

/// Grows with every object that would be copied.
pub struct Estimate {
    prices: Prices,
    /// `None`: a directory costs nothing.
    destination: Option<Destination>,
    cut: PartSettings,
    limits: SinkLimits,
    objects: u64,
    bytes: u64,
    /// Objects and bytes by [`STEPS`].
    sizes: [(u64, u64); STEPS.len() + 1],
    gets: u64,
    writes: u64,
}

#[derive(Serialize)]
pub struct CostEstimate {
    requests: Requests,
    /// Of all agents together.
    seconds_to_copy: f64,
    dollars: f64,
}

#[derive(Serialize)]
struct Requests {
    source_list: u64,
    source_get: u64,
    destination_list: u64,
    destination_write: u64,
    queue: u64,
    ledger: u64,
}

impl Estimate {
    pub fn new(settings: &Settings, prices: Option<&Path>) -> anyhow::Result<Estimate> {
        let (name, text) = match prices {
            Some(file) => {
                let name = format!("--prices {}", file.display());
                let text = std::fs::read_to_string(file).with_context(|| name.clone())?;
                (name, text)
            }
            None => ("config/prices.toml".into(), SHIPPED.into()),
        };
        let prices: Prices = toml::from_str(&text).with_context(|| name.clone())?;
        let kind = settings.destination.kind();
        let price =
            |class| prices.destination.get(class).cloned().with_context(|| format!("{name}: no [destination.{class}]"));
        let (destination, limits) = (kind.price_class.map(price).transpose()?, kind.limits);
        let transfer = &settings.transfer;
        let cut = PartSettings { multipart_threshold: transfer.multipart_threshold, part_size: transfer.part_size };
        let sizes = [(0, 0); STEPS.len() + 1];
        Ok(Estimate { prices, destination, cut, limits, objects: 0, bytes: 0, sizes, gets: 0, writes: 0 })
    }

    pub fn add(&mut self, size: u64) {
        self.objects += 1;
        self.bytes += size;
        let (objects, bytes) = &mut self.sizes[STEPS.partition_point(|step| *step < size)];
        *objects += 1;
        *bytes += size;
        let (gets, writes) = match plan(size, self.cut, &self.limits) {
            Ok(Plan::Parts(parts)) => (u64::from(parts.count), u64::from(parts.count) + 2),
            _ => (1, 1),
        };
        self.gets += gets;
        self.writes += writes;
    }

    /// `seen`: keys that were listed, about as many on each side.
    pub fn calculate(&self, seen: u64, fleet: &FleetArguments) -> CostEstimate {
        let requests = Requests {
            source_list: seen.div_ceil(PAGE),
            source_get: self.gets,
            destination_list: seen.div_ceil(PAGE),
            destination_write: self.writes,
            // Sent, received, deleted: ten at a time.
            queue: 3 * self.objects.div_ceil(10),
            ledger: 2 * self.objects,
        };
        let agents = f64::from(fleet.agents);
        let by_bytes = self.bytes as f64 / fleet.bandwidth as f64;
        let by_objects = self.objects as f64 / self.prices.agent.objects_per_second.max(1.0);
        let seconds = by_bytes.max(by_objects) / agents;
        let thousands = |requests: u64, price: f64| requests as f64 / 1000.0 * price;
        let (write, list) = self.destination.as_ref().map_or((0.0, 0.0), |prices| (prices.write, prices.list));
        let Prices { source, queue, ledger, agent, .. } = &self.prices;
        let dollars = thousands(requests.source_list, source.list)
            + thousands(requests.source_get, source.get)
            + thousands(requests.destination_list, list)
            + thousands(requests.destination_write, write)
            + thousands(requests.queue, queue.request)
            + thousands(requests.ledger, ledger.write)
            + self.bytes as f64 / GB * source.egress
            + seconds / 3600.0 * agents * agent.hour;
        CostEstimate { requests, seconds_to_copy: seconds.round(), dollars: (dollars * 100.0).round() / 100.0 }
    }

    /// For people.
    pub fn describe(&self, seen: u64, fleet: &FleetArguments) -> String {
        let CostEstimate { requests, seconds_to_copy, dollars } = self.calculate(seen, fleet);
        let count = |count: u64| HumanCount(count).to_string();
        let mut text = format!("would copy {} objects, {}\n\n", count(self.objects), BinaryBytes(self.bytes));
        for (step, (objects, bytes)) in self.sizes.iter().enumerate().filter(|(_, (objects, _))| *objects > 0) {
            let size = match STEPS.get(step) {
                Some(0) => "empty".into(),
                Some(most) => format!("up to {}", BinaryBytes(*most)),
                None => "larger".into(),
            };
            text += &format!("  {size:<18} {:>13} {:>12}\n", count(*objects), BinaryBytes(*bytes).to_string());
        }
        text += &format!(
            "\n  source            {:>13} GET   {:>9} LIST\n  destination       {:>13} write {:>9} LIST\n  SQS               {:>13}\n  ledger            {:>13}\n\n",
            count(requests.source_get),
            count(requests.source_list),
            count(requests.destination_write),
            count(requests.destination_list),
            count(requests.queue),
            count(requests.ledger),
        );
        let time = HumanDuration(Duration::from_secs_f64(seconds_to_copy.max(1.0)));
        let agents = if fleet.agents == 1 { "1 agent".into() } else { format!("{} agents", fleet.agents) };
        text + &format!("about {time} with {agents} of {}/s, and about ${dollars:.2}", DecimalBytes(fleet.bandwidth))
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[derive(clap::Parser)]
    struct Typed {
        #[command(flatten)]
        fleet: FleetArguments,
    }

    fn fleet(flags: &[&str]) -> FleetArguments {
        Typed::parse_from(["x"].iter().chain(flags)).fleet
    }

    fn estimate() -> Estimate {
        let text = r#"
            queue = { kind = "embedded", path = "q" }
            ledger = { kind = "none" }
            source = { kind = "directory", path = "a" }
            destination = { kind = "gcs", bucket = "b" }
            credentials.destination = { provider = "environment" }
        "#;
        let settings = Settings::parse(Path::new("/agent.toml"), text, &Default::default());
        Estimate::new(&settings.expect("settings"), None).expect("the shipped prices")
    }

    #[test]
    fn a_large_object_costs_a_request_a_part_and_two_more() {
        let mut estimate = estimate();
        estimate.add(100 << 20);
        estimate.add(10);
        assert_eq!((estimate.gets, estimate.writes), (7 + 1, 9 + 1));
    }

    #[test]
    fn time_is_that_of_the_bytes_or_of_the_objects_whichever_is_longer() {
        let fleet = fleet(&["--agents", "2", "--bandwidth", "1MB"]);
        let mut few = estimate();
        few.add(20_000_000);
        assert_eq!(few.calculate(1, &fleet).seconds_to_copy, 10.0);
        let mut many = estimate();
        (0..8000).for_each(|_| many.add(1));
        assert_eq!(many.calculate(8000, &fleet).seconds_to_copy, 10.0, "400 a second each");
    }

    #[test]
    fn a_terabyte_costs_what_the_network_takes() {
        let mut estimate = estimate();
        (0..1000).for_each(|_| estimate.add(1_000_000_000));
        let dollars = estimate.calculate(1000, &fleet(&[])).dollars;
        assert!((90.0..92.0).contains(&dollars), "{dollars}");
    }
}
