//! This module makes the five agencies' databases and fills them with the demo's people. One file per
//! register says what the register holds about a person and writes it. `load` makes the files, and `sample`
//! picks people worth asking about. The shares of gaps are in `gaps` and in docs/reference/demo-data.md.

mod agriculture;
mod banking;
mod civil;
mod education;
mod gaps;
mod health;
mod load;
mod sample;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use super::people::{MAX_PEOPLE, MIN_PEOPLE, People, SEED};

pub use sample::Sample;

/// The five registers in the order of the story.
pub const REGISTERS: [&str; 5] = ["civil", "health", "education", "agriculture", "banking"];

/// What was built.
#[derive(Clone, Debug)]
pub struct Summary {
    /// People in all, registered or not.
    pub people: u32,
    /// People worth asking about: the first is complete in all five registers; later ones have honest gaps.
    pub sample: Vec<Sample>,
    /// Rows and time per register, in the order of [`REGISTERS`].
    pub registers: Vec<Register>,
    /// All together, from the first file to the last rename.
    pub took: Duration,
}

/// One database that was built.
#[derive(Clone, Debug)]
pub struct Register {
    /// E.g. `civil`.
    pub name: &'static str,
    /// Rows in all its tables.
    pub rows: u64,
    /// Time to generate, write and index them. Two registers are built at a time.
    pub took: Duration,
}

/// Databases that could not be built. None of the files is left.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A number of people that cannot be made.
    #[error("a demo has {MIN_PEOPLE} to {MAX_PEOPLE} people, not {0}")]
    People(u32),
    /// Told to stop before the end.
    #[error("stopped before the databases were built")]
    Stopped,
    /// A file that cannot be removed, renamed or made.
    #[error("cannot replace {}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A database that refuses.
    #[error("cannot build {}", path.display())]
    Database {
        /// Which.
        path: PathBuf,
        /// Why.
        source: rusqlite::Error,
    },
}

/// Builds `dir/NAME.db` for each of [`REGISTERS`] with `people` citizens, replacing files of the same names.
/// `dir` must exist. Blocks for about 35 µs per person on two cores (release). The same number of people
/// gives the same rows, always.
///
/// # Errors
/// [`Error`]; then no new file is left, and files from before are as they were unless only some could be
/// replaced.
pub fn build(dir: &Path, people: u32) -> Result<Summary, Error> {
    build_until(dir, people, &CancellationToken::new())
}

/// [`build`], unless `stop` comes first.
///
/// # Errors
/// As [`build`], and [`Error::Stopped`].
pub fn build_until(dir: &Path, people: u32, stop: &CancellationToken) -> Result<Summary, Error> {
    if !(MIN_PEOPLE..=MAX_PEOPLE).contains(&people) {
        return Err(Error::People(people));
    }
    let started = Instant::now();
    let population = People::new(SEED, people).until(stop);
    // Each thread takes the next register when it is free, because registers differ in size. Relaxed is
    // enough, since the counter orders no other memory.
    let next = AtomicUsize::new(0);
    let work = || -> Vec<(usize, Result<Register, Error>)> {
        let indices = std::iter::repeat_with(|| next.fetch_add(1, Ordering::Relaxed));
        let mine = indices.map_while(|index| Some((index, *REGISTERS.get(index)?)));
        mine.map(|(index, name)| (index, load::register(dir, name, &population))).collect()
    };
    let mut results = std::thread::scope(|scope| {
        let other = scope.spawn(work);
        let mut results = work();
        results.extend(other.join().unwrap_or_default());
        results
    });
    results.sort_by_key(|(index, _)| *index);
    let registers: Result<Vec<Register>, Error> = results.into_iter().map(|(_, result)| result).collect();
    let registers = if population.is_stopped() { Err(Error::Stopped) } else { registers };
    let registers = registers.and_then(|registers| load::publish(dir).map(|()| registers));
    // A failed or stopped build leaves none of its files behind.
    let registers = registers.inspect_err(|_| load::discard(dir))?;
    Ok(Summary { people, sample: sample::pick(&population), registers, took: started.elapsed() })
}

/// The sample of `people` citizens alone, for databases that were built before.
///
/// # Errors
/// [`Error::People`].
pub fn sample(people: u32) -> Result<Vec<Sample>, Error> {
    if !(MIN_PEOPLE..=MAX_PEOPLE).contains(&people) {
        return Err(Error::People(people));
    }
    Ok(sample::pick(&People::new(SEED, people)))
}
