//! Work that the guard's thread may not do itself, since it takes time or what the sandbox keeps
//! from it: one thread that was started before.

use anyhow::{Result, bail};
use crossbeam_channel::{Sender, bounded};

const WAITING_MAX: usize = 4;

type Errand = Box<dyn FnOnce() + Send>;

pub(super) struct Errands {
    queue: Sender<Errand>,
}

impl Errands {
    pub(super) fn hire() -> std::io::Result<Self> {
        let (queue, waiting) = bounded::<Errand>(WAITING_MAX);
        std::thread::Builder::new()
            .name("errands".into())
            .spawn(move || waiting.into_iter().for_each(|errand| errand()))?;
        Ok(Self { queue })
    }

    /// Never blocks.
    pub(super) fn run(&self, errand: impl FnOnce() + Send + 'static) -> Result<()> {
        if self.queue.try_send(Box::new(errand)).is_err() {
            bail!("other work of the same kind is still under way; try again later");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errands_are_run_in_turn_and_too_many_are_refused() {
        let errands = Errands::hire().unwrap();
        let (hold, held) = bounded::<()>(0);
        let (begin, begun) = bounded(1);
        let first = move || {
            begin.send(()).unwrap();
            held.recv().unwrap_or(());
        };
        errands.run(first).unwrap();
        begun.recv().unwrap();
        let (say, heard) = bounded(WAITING_MAX);
        let taken: Vec<usize> = (0..WAITING_MAX + 2)
            .filter(|&number| {
                let say = say.clone();
                errands.run(move || say.send(number).unwrap()).is_ok()
            })
            .collect();
        drop((hold, say));
        assert_eq!(taken, (0..WAITING_MAX).collect::<Vec<_>>());
        assert_eq!(heard.iter().collect::<Vec<_>>(), taken);
    }
}
