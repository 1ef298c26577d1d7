//! Threads that run one job at a time, together with the caller.

use std::any::Any;
use std::cell::{Cell, UnsafeCell};
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering, fence};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle, Thread};
use std::time::{Duration, Instant};

/// How long a thread that has nothing to do looks for work before it sleeps. Between two operations of one token pass
/// some microseconds, between two tokens (sampling, network) some tens; waking costs about as much.
const SPIN: Duration = Duration::from_micros(60);
/// Chunks per thread in [`Pool::chunks`]: enough that a thread that was held up does not hold up the others.
const CHUNKS_PER_THREAD: usize = 8;

thread_local! {
    /// Whether this thread is running a job: a job that starts another one runs it alone.
    static IN_JOB: Cell<bool> = const { Cell::new(false) };
}

/// A pool of threads for short parallel loops.
///
/// Threads look for the next job for some tens of microseconds and then sleep until there is one: an idle pool costs
/// nothing. A panic in a job is passed on to the caller after all threads have left the job. Calls from several threads
/// take turns.
#[derive(Debug)]
pub struct Pool {
    inner: Arc<Inner>,
    turn: Mutex<()>,
    workers: Vec<JoinHandle<()>>,
}

/// Keeps what different threads write apart: two cache lines, as the prefetcher reads pairs.
#[repr(align(128))]
#[derive(Debug, Default)]
struct Apart<T>(T);

#[derive(Debug)]
struct Inner {
    /// Counts jobs; a change tells the workers that `job` has a new one.
    generation: Apart<AtomicUsize>,
    /// Workers that have not finished the job yet.
    running: Apart<AtomicUsize>,
    job: UnsafeCell<Job>,
    /// Which workers sleep, and have to be woken.
    asleep: Vec<Apart<AtomicBool>>,
    caller_asleep: AtomicBool,
    stop: AtomicBool,
    panic: Mutex<Option<Box<dyn Any + Send>>>,
}

/// A closure on the caller's stack.
#[derive(Debug, Clone, Copy)]
struct Job {
    closure: *const (),
    call: unsafe fn(*const (), usize),
    caller: *const Thread,
}

// SAFETY: `job` is only written by the holder of `Pool::turn` while no worker runs (`running` is zero), and only read by
// workers between the change of `generation` (release/acquire) and their decrement of `running` (release/acquire). The
// closures it points to are `Sync` and outlive the job, because `run` does not return before `running` is zero.
unsafe impl Sync for Inner {}
// SAFETY: as above.
unsafe impl Send for Inner {}

impl Pool {
    /// Starts `threads - 1` threads (the caller is the last one). With `pin`, each is bound to a processor of its own,
    /// leaving the first one that this process may use for the caller, who can take it with [`pin_caller`](Self::pin_caller).
    pub fn new(threads: usize, pin: bool) -> Self {
        let n_workers = threads.max(1) - 1;
        let inner = Arc::new(Inner::new(n_workers));
        let worker = |index: usize| {
            let inner = Arc::clone(&inner);
            let run = move || {
                if pin {
                    pin_to(index + 1);
                }
                inner.work(index);
            };
            thread::Builder::new().name(format!("kernel-{}", index + 1)).spawn(run)
        };
        // A machine that refuses a thread still computes, with those that it gave.
        let workers = (0..n_workers).map_while(|index| worker(index).ok()).collect();
        Self { inner, turn: Mutex::new(()), workers }
    }

    /// How many threads run a job, with the caller.
    pub fn threads(&self) -> usize {
        self.workers.len() + 1
    }

    /// Binds the calling thread to the processor that [`new`](Self::new) left free.
    pub fn pin_caller(&self) {
        pin_to(0);
    }

    /// Runs `job(thread)` once on every thread, `thread` from 0 (the caller) to `threads() - 1`, and waits for all.
    ///
    /// # Panics
    /// With the panic of the job, if it panics.
    pub fn run<F: Fn(usize) + Sync>(&self, job: F) {
        if self.workers.is_empty() || IN_JOB.get() {
            (0..self.threads()).for_each(job);
            return;
        }
        let turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let caller = thread::current();
        self.start(&job, &caller);
        let own = catch_unwind(AssertUnwindSafe(|| in_job(|| job(0))));
        self.wait();
        drop(turn);
        let others = self.inner.panic.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(panic) = own.err().or(others) {
            resume_unwind(panic);
        }
    }

    /// Calls `job(thread, range)` for ranges that together are `0..n`. Ranges are multiples of `grain` (but for the last
    /// one) and handed out as threads become free.
    pub fn chunks<F: Fn(usize, Range<usize>) + Sync>(&self, n: usize, grain: usize, job: F) {
        let grain = grain.max(1);
        if n <= grain || self.workers.is_empty() || IN_JOB.get() {
            if n > 0 {
                job(0, 0..n);
            }
            return;
        }
        let size = (n / (self.threads() * CHUNKS_PER_THREAD)).next_multiple_of(grain).max(grain);
        let next = Apart(AtomicUsize::new(0));
        self.run(|thread| {
            loop {
                let start = next.0.fetch_add(size, Ordering::Relaxed);
                if start >= n {
                    break;
                }
                job(thread, start..n.min(start + size));
            }
        });
    }

    fn start<F: Fn(usize) + Sync>(&self, job: &F, caller: &Thread) {
        /// # Safety
        /// `closure` points to a live `F`.
        unsafe fn call<F: Fn(usize)>(closure: *const (), thread: usize) {
            // SAFETY: the caller's promise.
            unsafe { (*closure.cast::<F>())(thread) }
        }
        let inner = &*self.inner;
        // SAFETY: this thread holds the turn and the last job has ended, so nobody reads `job` now.
        unsafe { *inner.job.get() = Job { closure: (&raw const *job).cast(), call: call::<F>, caller } };
        inner.running.0.store(self.workers.len(), Ordering::Relaxed);
        inner.generation.0.fetch_add(1, Ordering::Release);
        // Orders the new generation before the look at `asleep`; the worker's fence does the reverse. One of the two
        // sees the other's write.
        fence(Ordering::SeqCst);
        for (worker, asleep) in self.workers.iter().zip(&inner.asleep) {
            if asleep.0.load(Ordering::Relaxed) {
                worker.thread().unpark();
            }
        }
    }

    /// Waits until every worker has left the job.
    fn wait(&self) {
        let inner = &*self.inner;
        let done = || inner.running.0.load(Ordering::Acquire) == 0;
        if spin_until(done) {
            return;
        }
        inner.caller_asleep.store(true, Ordering::Relaxed);
        fence(Ordering::SeqCst);
        while !done() {
            thread::park();
        }
        inner.caller_asleep.store(false, Ordering::Relaxed);
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.inner.stop.store(true, Ordering::Release);
        for worker in self.workers.drain(..) {
            worker.thread().unpark();
            // A worker cannot panic outside of a job, and those panics were passed on.
            let _ = worker.join();
        }
    }
}

impl Inner {
    fn new(n_workers: usize) -> Self {
        /// # Safety
        /// None needed: it does nothing.
        unsafe fn nothing(_: *const (), _: usize) {}
        let job = Job { closure: std::ptr::null(), call: nothing, caller: std::ptr::null() };
        Self {
            generation: Apart::default(),
            running: Apart::default(),
            job: UnsafeCell::new(job),
            asleep: (0..n_workers).map(|_| Apart::default()).collect(),
            caller_asleep: AtomicBool::new(false),
            stop: AtomicBool::new(false),
            panic: Mutex::new(None),
        }
    }

    fn work(&self, index: usize) {
        let mut seen = 0;
        while let Some(generation) = self.next_job(index, seen) {
            seen = generation;
            // SAFETY: a new generation was seen with acquire, so the job is completely written and stays until this
            // worker decrements `running`.
            let job = unsafe { *self.job.get() };
            // SAFETY: `caller` points into the stack frame of `Pool::run`, which waits for `running` to become zero.
            let caller = unsafe { (*job.caller).clone() };
            // SAFETY: `closure` lives in the same frame, and `call` was made for its type.
            let result = catch_unwind(AssertUnwindSafe(|| in_job(|| unsafe { (job.call)(job.closure, index + 1) })));
            if let Err(panic) = result {
                *self.panic.lock().unwrap_or_else(PoisonError::into_inner) = Some(panic);
            }
            let last = self.running.0.fetch_sub(1, Ordering::AcqRel) == 1;
            fence(Ordering::SeqCst);
            if last && self.caller_asleep.load(Ordering::Relaxed) {
                caller.unpark();
            }
        }
    }

    /// Waits for a generation other than `seen`; `None` when the pool ends.
    fn next_job(&self, index: usize, seen: usize) -> Option<usize> {
        let ready = || self.generation.0.load(Ordering::Acquire) != seen || self.stop.load(Ordering::Acquire);
        if !spin_until(ready) {
            let asleep = &self.asleep[index].0;
            asleep.store(true, Ordering::Relaxed);
            fence(Ordering::SeqCst);
            while !ready() {
                thread::park();
            }
            asleep.store(false, Ordering::Relaxed);
        }
        let stop = self.stop.load(Ordering::Acquire);
        (!stop).then(|| self.generation.0.load(Ordering::Acquire))
    }
}

/// Whether `ready` became true within [`SPIN`].
fn spin_until(ready: impl Fn() -> bool) -> bool {
    let mut start = None;
    loop {
        for _ in 0..32 {
            if ready() {
                return true;
            }
            std::hint::spin_loop();
        }
        if start.get_or_insert_with(Instant::now).elapsed() > SPIN {
            return ready();
        }
    }
}

fn in_job<T>(job: impl FnOnce() -> T) -> T {
    struct Leave;
    impl Drop for Leave {
        fn drop(&mut self) {
            IN_JOB.set(false);
        }
    }
    IN_JOB.set(true);
    let _leave = Leave;
    job()
}

/// Binds the calling thread to the `index`-th processor that it may use. A failure is no error: it runs unbound.
#[cfg(target_os = "linux")]
fn pin_to(index: usize) {
    // SAFETY: an all-zero `cpu_set_t` is a valid empty set; the calls read and write it within its size, and the
    // CPU_* helpers are given indices below CPU_SETSIZE.
    unsafe {
        let mut allowed: libc::cpu_set_t = std::mem::zeroed();
        if libc::sched_getaffinity(0, size_of::<libc::cpu_set_t>(), &raw mut allowed) != 0 {
            return;
        }
        let cpus = (0..libc::CPU_SETSIZE as usize).filter(|&cpu| libc::CPU_ISSET(cpu, &allowed));
        if let Some(cpu) = cpus.into_iter().nth(index) {
            let mut one: libc::cpu_set_t = std::mem::zeroed();
            libc::CPU_SET(cpu, &mut one);
            libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &raw const one);
        }
    }
}

#[cfg(not(target_os = "linux"))]
fn pin_to(_index: usize) {}

#[cfg(test)]
mod tests;
