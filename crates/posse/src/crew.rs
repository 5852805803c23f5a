//! Several threads read the lines of a log, one counts them in their order.
//!
//! The reader of the file cuts it into batches. Whoever is free runs the prefilter and the parsers
//! over the next one; the calling thread takes the finished ones in the order of the file and
//! pours them into the buckets, and reads batches itself while it would only wait. So the result
//! is the same with any number of threads. A fixed number of batches is under way.

use std::{
    collections::{BTreeMap, VecDeque},
    mem,
    num::NonZeroUsize,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
};

use anyhow::{Context as _, Result, bail};
use detect::{
    engine::{Ahead, Clock, Engine, Reader},
    symbols::Symbols,
};
use model::{Alert, Batch, SourceInfo};

/// Lines and bytes of one batch, as long as one line fits.
const LINES_MAX: usize = 256;
const BYTES_MAX: usize = 128 << 10;
/// Batches under way for each thread, and besides.
const BATCHES_PER_THREAD: usize = 2;

/// How many threads to use: as many as there are processors unless somebody says.
pub(crate) fn threads(wanted: Option<NonZeroUsize>) -> NonZeroUsize {
    wanted
        .or_else(|| thread::available_parallelism().ok())
        .unwrap_or(NonZeroUsize::MIN)
}

/// Some lines, and what was made of them.
#[derive(Default)]
struct Job {
    number: u64,
    batch: Batch,
    ahead: Ahead,
    /// Field names learnt since the job before.
    names: Option<Arc<Symbols>>,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<Job>,
    done: BTreeMap<u64, Job>,
    /// No more will come.
    over: bool,
    /// A reader died.
    broken: bool,
}

#[derive(Default)]
struct Table {
    state: Mutex<State>,
    /// Something waits, or all is over.
    work: Condvar,
    /// Something is done.
    done: Condvar,
}

impl Table {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn put_down(&self, job: Job) {
        self.state().done.insert(job.number, job);
        self.done.notify_one();
    }
}

/// What the calling thread uses to feed lines in and take alerts out.
pub(crate) struct Crew<'c> {
    table: &'c Table,
    reader: Reader,
    source: &'c SourceInfo,
    free: Vec<Job>,
    /// The next job to be given out, and the next to be poured.
    next: u64,
    pour: u64,
    under_way_max: u64,
    names_told: usize,
}

/// Runs `feed` with a crew of so many threads in all.
pub(crate) fn with<T>(
    engine: &mut Engine,
    source: &SourceInfo,
    threads: NonZeroUsize,
    feed: impl FnOnce(&mut Engine, &mut Crew<'_>) -> Result<T>,
) -> Result<T> {
    let table = Table::default();
    thread::scope(|scope| {
        let _end = End(&table);
        for number in 1..threads.get() {
            let mut reader = engine.reader(source);
            let table = &table;
            thread::Builder::new()
                .name(format!("reader-{number}"))
                .spawn_scoped(scope, move || work(table, &mut reader, source))
                .context("cannot start a thread")?;
        }
        let mut crew = Crew {
            table: &table,
            reader: engine.reader(source),
            source,
            free: Vec::new(),
            next: 0,
            pour: 0,
            under_way_max: (BATCHES_PER_THREAD * threads.get() + 1) as u64,
            names_told: engine.symbols().len(),
        };
        feed(engine, &mut crew)
    })
}

/// Lets the readers go, however the work ended.
struct End<'c>(&'c Table);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.state().over = true;
        self.0.work.notify_all();
    }
}

/// Tells of a reader that died.
struct Watch<'c>(&'c Table);

impl Drop for Watch<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.state().broken = true;
            self.0.done.notify_all();
        }
    }
}

fn work(table: &Table, reader: &mut Reader, source: &SourceInfo) {
    let _watch = Watch(table);
    loop {
        let mut state = table.state();
        let job = loop {
            match state.waiting.pop_front() {
                Some(job) => break job,
                None if state.over => return,
                None => state = wait(&table.work, state),
            }
        };
        drop(state);
        table.put_down(read(job, reader, source));
    }
}

fn wait<'s>(bell: &Condvar, state: MutexGuard<'s, State>) -> MutexGuard<'s, State> {
    bell.wait(state).unwrap_or_else(PoisonError::into_inner)
}

fn read(mut job: Job, reader: &mut Reader, source: &SourceInfo) -> Job {
    if let Some(names) = job.names.take() {
        reader.learn(&names);
    }
    for record in job.batch.iter() {
        reader.read(&record, source, Clock::Recording, &mut job.ahead);
    }
    job
}

impl Crew<'_> {
    /// Takes in more lines. Alerts of lines that are done are appended, in the order of the lines.
    pub(crate) fn take(
        &mut self,
        engine: &mut Engine,
        batch: &Batch,
        alerts: &mut Vec<Alert>,
    ) -> Result<()> {
        let mut job = self.blank(engine);
        for record in batch.iter() {
            let full = job.batch.records.len() >= LINES_MAX
                || job.batch.buffer.len() + record.text.len() > BYTES_MAX;
            if full && !job.batch.is_empty() {
                let next = self.blank(engine);
                self.give_out(mem::replace(&mut job, next), engine, alerts)?;
            }
            let mut meta = record.meta.clone();
            meta.text = job.batch.store(record.text);
            // What a file gives is not re-written.
            meta.raw = 0..0;
            job.batch.records.push(meta);
        }
        self.give_out(job, engine, alerts)
    }

    /// Waits for all lines that are under way.
    pub(crate) fn finish(&mut self, engine: &mut Engine, alerts: &mut Vec<Alert>) -> Result<()> {
        while self.pour < self.next {
            self.pour_next(engine, alerts)?;
        }
        Ok(())
    }

    fn blank(&mut self, engine: &Engine) -> Job {
        let mut job = self.free.pop().unwrap_or_default();
        if engine.symbols().len() > self.names_told {
            self.names_told = engine.symbols().len();
            job.names = Some(Arc::new(engine.names()));
        }
        job
    }

    fn give_out(
        &mut self,
        mut job: Job,
        engine: &mut Engine,
        alerts: &mut Vec<Alert>,
    ) -> Result<()> {
        job.number = self.next;
        self.next += 1;
        self.table.state().waiting.push_back(job);
        self.table.work.notify_one();
        while self.next - self.pour >= self.under_way_max {
            self.pour_next(engine, alerts)?;
        }
        Ok(())
    }

    /// Pours the oldest batch; reads others until it is done.
    fn pour_next(&mut self, engine: &mut Engine, alerts: &mut Vec<Alert>) -> Result<()> {
        let mut state = self.table.state();
        let mut job = loop {
            if let Some(job) = state.done.remove(&self.pour) {
                break job;
            }
            if state.broken {
                bail!("a thread that reads lines died; this is a fault of the program");
            }
            state = match state.waiting.pop_front() {
                None => wait(&self.table.done, state),
                Some(job) => {
                    drop(state);
                    let job = read(job, &mut self.reader, self.source);
                    let mut state = self.table.state();
                    state.done.insert(job.number, job);
                    state
                }
            };
        };
        drop(state);
        self.pour += 1;
        for record in job.batch.iter() {
            engine.observe_ahead(
                &record,
                self.source,
                Clock::Recording,
                &mut job.ahead,
                alerts,
            );
        }
        job.batch.clear();
        job.ahead.clear();
        self.free.push(job);
        Ok(())
    }
}
