//! This module orders the measurement: every entry in turn, at every load, in every round, so that other work
//! of the machine affects all entries alike.

use std::io::Write as _;
use std::time::{Duration, Instant};

use crate::entry::{Entry, NAMES, Place};
use crate::load::{self, Caller, Shape};
use crate::options::Options;
use crate::process::{cpu, family};
use crate::table::{Line, Table};
use crate::{Error, pki, upstream};

/// Measures and prints the table. Fails if any call of any entry failed.
pub(crate) async fn measure(options: &Options) -> Result<(), Error> {
    let folder = tempfile::tempdir()?;
    let pki = folder.path().join("pki");
    let issuer = pki::write(&pki)?;
    let upstream = upstream::start(&pki).await?;
    let place = Place { root: folder.path(), pki, issuer, upstream, under: &[] };
    let mut entries = Vec::new();
    for name in chosen(options) {
        match place.start(name)? {
            Ok(entry) => entries.push(entry),
            Err(why) => eprintln!("\nLEFT OUT: {name}: {why}\n"),
        }
    }
    for entry in &mut entries {
        ready(entry, &place).await?;
    }
    let mut memory = String::new();
    for entry in &entries {
        memory += &idle(entry, &place).await?;
    }
    let mut raw = options.raw.as_ref().map(std::fs::File::create).transpose()?;
    let mut table = Table::default();
    for round in 0..options.rounds {
        for shape in shapes(options) {
            for entry in &entries {
                let line = one(entry, &place, shape, options.window, None).await?;
                if let Some(raw) = &mut raw {
                    writeln!(raw, "{round}\t{line}")?;
                }
                table.add(line);
            }
        }
    }
    println!("{table}");
    println!("{memory}");
    for Entry { name, process, .. } in &entries {
        if let Some(process) = process {
            println!("{name}: {} KiB resident after all loads", process.resident()?);
        }
    }
    Ok(())
}

/// One entry, one load.
pub(crate) async fn load_only(options: &Options) -> Result<(), Error> {
    let folder = tempfile::tempdir()?;
    let pki = folder.path().join("pki");
    let issuer = pki::write(&pki)?;
    let upstream = upstream::start(&pki).await?;
    let place = Place { root: folder.path(), pki, issuer, upstream, under: &options.under };
    let name = chosen(options).into_iter().next().ok_or("name one entry with --only")?;
    let mut entry = place.start(name)?.map_err(|why| format!("{name}: {why}"))?;
    ready(&mut entry, &place).await?;
    for shape in shapes(options) {
        println!("{}", one(&entry, &place, shape, options.window, options.calls).await?);
    }
    Ok(())
}

fn chosen(options: &Options) -> Vec<&'static str> {
    let wanted = |name: &&str| options.only.is_empty() || options.only.iter().any(|only| only == name);
    NAMES.into_iter().filter(wanted).collect()
}

fn shapes(options: &Options) -> Vec<Shape> {
    let wanted = |shape: &Shape| {
        let name = if let Shape::Closed(width) = shape { width.to_string() } else { "open".to_owned() };
        options.loads.is_empty() || options.loads.contains(&name)
    };
    Shape::ALL.into_iter().filter(wanted).collect()
}

/// Waits for the first whole answer.
async fn ready(entry: &mut Entry, place: &Place<'_>) -> Result<(), Error> {
    let began = Instant::now();
    loop {
        let tried =
            async { Caller::connect(entry.address, &place.pki, Shape::Closed(1)).await?.call(0).await };
        let tried: Result<(), Error> = match tokio::time::timeout(Duration::from_secs(5), tried).await {
            Ok(tried) => tried,
            Err(_) => Err("no answer".into()),
        };
        let Err(error) = tried else { return Ok(()) };
        let ended = entry.process.as_mut().map_or(Ok(false), |process| process.ended())?;
        if ended || began.elapsed() > Duration::from_secs(30) {
            let said =
                std::fs::read_to_string(place.root.join(entry.name).join("output.log")).unwrap_or_default();
            return Err(format!("{} does not answer: {error}\n{said}", entry.name).into());
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

const IDLE: usize = 200;

/// Resident memory of an entry that has answered one call, and what an idle connection adds.
async fn idle(entry: &Entry, place: &Place<'_>) -> Result<String, Error> {
    let Some(process) = &entry.process else { return Ok(String::new()) };
    let before = process.resident()?;
    let callers = Caller::connect_many(entry.address, &place.pki, IDLE).await?;
    // A connection is there for good once a call has gone over it.
    for number in 0..IDLE {
        callers.call(number).await?;
    }
    let each = process.resident()?.saturating_sub(before) as f64 / IDLE as f64;
    Ok(format!(
        "{}: {before} KiB resident when idle, {each:.1} KiB more per connection of {IDLE}\n",
        entry.name
    ))
}

async fn one(
    entry: &Entry,
    place: &Place<'_>,
    shape: Shape,
    window: Duration,
    calls: Option<u64>,
) -> Result<Line, Error> {
    let caller = Caller::connect(entry.address, &place.pki, shape).await?;
    // Without a proxy it is the generator's own time; its children are the proxies.
    let family = entry
        .process
        .as_ref()
        .map_or_else(|| Ok(vec![std::process::id()]), |process| family(process.id()))?;
    let mut spent = Vec::new();
    let (count, elapsed) = load::run(caller, shape, window, calls, || spent.push(cpu(&family))).await?;
    let spent: Vec<u64> = spent.into_iter().collect::<Result<_, _>>()?;
    if count.failed > 0 || count.answered == 0 {
        let why = count.why.unwrap_or_default();
        return Err(format!(
            "{} at {shape}: {} failed of {}: {why}",
            entry.name, count.failed, count.answered
        )
        .into());
    }
    let spent = spent.last().zip(spent.first()).map_or(0, |(after, before)| after - before);
    let quantile = |share| count.latency.value_at_quantile(share) as f64 / 1e3;
    Ok(Line {
        entry: entry.name,
        shape,
        cpu: spent as f64 / 1e3 / count.answered as f64,
        rate: count.answered as f64 / elapsed.as_secs_f64(),
        p50: quantile(0.5),
        p99: quantile(0.99),
    })
}
