//! Where a worker's thread runs, and before whom.

/// Of one worker.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    pub(crate) worker: usize,
    /// Whether the thread stays on one core.
    pub(crate) pin: bool,
    /// See [`crate::config::NICE_DEFAULT`].
    pub(crate) nice: i32,
}

impl Place {
    /// Puts the calling thread there. A host that permits less is no reason not to serve.
    pub(crate) fn take(self) {
        let worker = self.worker;
        if self.pin && !pin_to_core(worker) {
            tracing::warn!(worker, "cannot pin the media worker to a core");
        }
        // On Linux, niceness is of the thread; `None` is the caller.
        if self.nice != 0 && rustix::process::setpriority_process(None, self.nice).is_err() {
            tracing::info!(
                worker,
                nice = self.nice,
                "the media worker runs no sooner than other threads: neither CAP_SYS_NICE nor RLIMIT_NICE permits it"
            );
        }
    }
}

fn pin_to_core(worker: usize) -> bool {
    let cores = core_affinity::get_core_ids().unwrap_or_default();
    let core = worker.checked_rem(cores.len()).and_then(|index| cores.get(index));
    core.is_some_and(|core| core_affinity::set_for_current(*core))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn niceness() -> i32 {
        rustix::process::getpriority_process(None).unwrap()
    }

    #[test]
    fn niceness_is_of_the_thread_alone() {
        let before = niceness();
        // Nobody needs permission to step back.
        let place = Place { worker: 0, pin: false, nice: before + 1 };
        let inside = std::thread::spawn(move || {
            place.take();
            niceness()
        });
        assert_eq!(inside.join().unwrap(), before + 1);
        assert_eq!(niceness(), before);
    }
}
