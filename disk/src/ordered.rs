//! Work on many threads whose results come in order.

use std::collections::BTreeMap;
use std::io;
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Mutex, PoisonError};
use std::thread;

use forger_block::{Error, Result};

/// Calls `work` for each item on one of `threads` threads, and `take` here with the results in the
/// order of the items. Each thread begins with what `begin` makes.
///
/// A bounded number of items is under way, so `take` may be slow. The first error ends it all.
///
/// # Errors
/// That of the items, of `begin`, `work` or `take`; [`Error::Io`] when no thread can be started.
pub(crate) fn in_order<I: Send, T: Send, C>(
    threads: usize,
    items: impl Iterator<Item = Result<I>>,
    begin: impl Fn() -> Result<C> + Sync,
    work: impl Fn(&mut C, I) -> Result<T> + Sync,
    take: impl FnMut(T) -> Result<()>,
) -> Result<()> {
    let threads = threads.max(1);
    let (tasks, queue) = mpsc::channel::<(u64, I)>();
    let queue = Mutex::new(queue);
    let (answers, replies) = mpsc::channel();
    thread::scope(|scope| {
        for _ in 0..threads {
            let mut answers = Answers(answers.clone());
            let (queue, begin, work) = (&queue, &begin, &work);
            thread::Builder::new()
                .name("forger-disk".into())
                .spawn_scoped(scope, move || serve(queue, &mut answers, begin, work))
                .map_err(|error| Error::io("start", "a thread", error))?;
        }
        drop(answers);
        // Two for each thread: one in hand and one that waits.
        let result = conduct(2 * threads + 2, items, &tasks, &replies, take);
        drop(tasks);
        result
    })
}

type Answer<T> = (u64, Result<T>);

/// A thread's way to answer. One that panics says so: nobody may wait for it.
struct Answers<T>(Sender<Answer<T>>);

impl<T> Drop for Answers<T> {
    fn drop(&mut self) {
        if thread::panicking() {
            let _ = self.0.send((0, Err(gone())));
        }
    }
}

fn serve<I, T, C>(
    queue: &Mutex<Receiver<(u64, I)>>,
    answers: &mut Answers<T>,
    begin: impl Fn() -> Result<C>,
    work: impl Fn(&mut C, I) -> Result<T>,
) {
    let mut context = match begin() {
        Ok(context) => context,
        Err(error) => {
            let _ = answers.0.send((0, Err(error)));
            return;
        }
    };
    loop {
        let task = queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok((id, item)) = task else {
            return;
        };
        let answer = work(&mut context, item);
        if answers.0.send((id, answer)).is_err() {
            return;
        }
    }
}

fn conduct<I, T>(
    limit: usize,
    mut items: impl Iterator<Item = Result<I>>,
    tasks: &Sender<(u64, I)>,
    replies: &Receiver<Answer<T>>,
    mut take: impl FnMut(T) -> Result<()>,
) -> Result<()> {
    let mut ready = BTreeMap::new();
    let (mut handed, mut taken) = (0_u64, 0_u64);
    let mut more = true;
    loop {
        while more && handed - taken < limit as u64 {
            match items.next() {
                Some(item) => {
                    tasks.send((handed, item?)).map_err(|_| gone())?;
                    handed += 1;
                }
                None => more = false,
            }
        }
        if handed == taken {
            return Ok(());
        }
        let (id, answer) = replies.recv().map_err(|_| gone())?;
        ready.insert(id, answer?);
        while let Some(answer) = ready.remove(&taken) {
            take(answer)?;
            taken += 1;
        }
    }
}

fn gone() -> Error {
    Error::io("use", "a thread", io::Error::other("it is gone"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_come_in_order() {
        for threads in [0, 1, 3] {
            let mut seen = Vec::new();
            in_order(
                threads,
                (0..1000).map(Ok),
                || Ok(1),
                |one, number| Ok(number + *one),
                |number| {
                    seen.push(number);
                    Ok(())
                },
            )
            .unwrap();
            assert!(seen.into_iter().eq(1..=1000));
        }
    }

    #[test]
    fn the_first_error_of_anybody_ends_it() {
        let run = |items: Vec<Result<u32>>, begin: Result<()>, bad: u32| {
            let begin = Mutex::new(Some(begin));
            in_order(
                2,
                items.into_iter(),
                || begin.lock().unwrap().take().unwrap_or(Ok(())),
                |(), number| match number == bad {
                    true => Err(Error::Interrupted),
                    false => Ok(number),
                },
                |number| match number == bad + 1000 {
                    true => Err(Error::Interrupted),
                    false => Ok(()),
                },
            )
        };
        let items = || (0..100).map(Ok).collect::<Vec<_>>();
        assert!(run(items(), Ok(()), 5000).is_ok());
        assert!(run(items(), Ok(()), 50).is_err());
        assert!(run(items(), Err(Error::Interrupted), 5000).is_err());
        let mut bad = items();
        bad[70] = Err(Error::Interrupted);
        assert!(run(bad, Ok(()), 5000).is_err());
    }
}
