use std::sync::atomic::AtomicU32;

use super::*;

#[test]
fn every_thread_runs_the_job_once() {
    let pool = Pool::new(4, false);
    for _ in 0..200 {
        let ran: Vec<_> = (0..pool.threads()).map(|_| AtomicU32::new(0)).collect();
        pool.run(|thread| {
            ran[thread].fetch_add(1, Ordering::Relaxed);
        });
        assert!(ran.iter().all(|count| count.load(Ordering::Relaxed) == 1));
    }
}

#[test]
fn chunks_cover_every_index_once_and_start_at_multiples_of_the_grain() {
    for (threads, n, grain) in [(1, 10, 3), (3, 0, 4), (3, 1, 4), (3, 1000, 7), (2, 64, 64), (4, 4099, 1)] {
        let pool = Pool::new(threads, false);
        let hits: Vec<_> = (0..n).map(|_| AtomicU32::new(0)).collect();
        pool.chunks(n, grain, |thread, range| {
            assert!(thread < threads && range.start.is_multiple_of(grain) && !range.is_empty());
            hits[range].iter().for_each(|hit| {
                hit.fetch_add(1, Ordering::Relaxed);
            });
        });
        assert!(hits.iter().all(|hit| hit.load(Ordering::Relaxed) == 1), "{threads} {n} {grain}");
    }
}

#[test]
fn a_panic_reaches_the_caller_and_the_pool_still_works() {
    let pool = Pool::new(3, false);
    for culprit in 0..3 {
        let result =
            catch_unwind(AssertUnwindSafe(|| pool.run(|thread| assert!(thread != culprit, "culprit {culprit}"))));
        let panic = result.expect_err("the job panics");
        assert_eq!(panic.downcast_ref::<String>(), Some(&format!("culprit {culprit}")));
    }
    pool.run(|_| ());
}

#[test]
fn a_job_may_start_a_job() {
    let pool = Pool::new(3, false);
    let sum = AtomicUsize::new(0);
    pool.run(|_| {
        pool.chunks(10, 1, |_, range| {
            sum.fetch_add(range.len(), Ordering::Relaxed);
        });
    });
    assert_eq!(sum.into_inner(), 30);
}

#[test]
fn callers_take_turns() {
    let pool = Pool::new(2, false);
    let busy = AtomicBool::new(false);
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..50 {
                    pool.run(|thread| {
                        if thread == 0 {
                            assert!(!busy.swap(true, Ordering::SeqCst));
                            busy.store(false, Ordering::SeqCst);
                        }
                    });
                }
            });
        }
    });
}

#[test]
fn workers_sleep_when_there_is_nothing_to_do() {
    let pool = Pool::new(4, false);
    pool.run(|_| ());
    let asleep = || pool.inner.asleep.iter().all(|flag| flag.0.load(Ordering::SeqCst));
    let start = Instant::now();
    while !asleep() {
        assert!(start.elapsed() < Duration::from_secs(20), "the workers never sleep");
        thread::yield_now();
    }
    pool.run(|_| ());
}
