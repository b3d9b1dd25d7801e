//! What workers print.

use std::time::{Duration, Instant};

use dspex_python::protocol::{FromWorker, LoadFailedKind};

use crate::support::{Runtime, load, next_frame, ping, send_load};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_neither_blocks_the_worker_nor_is_kept() {
    let runtime = Runtime::new();
    let program = runtime.program(
        "import sys\nline = 'x' * 199 + '\\n'\n\
         for _ in range(1000): sys.stdout.write(line * 1000)\nsys.stdout.flush()\n\
         print('the last words', file=sys.stderr, flush=True)\nraise RuntimeError('enough')\n",
    );
    let mut worker = runtime.worker("w1").await;
    let started = Instant::now();
    send_load(&worker, load(&program)).await;
    match next_frame(&mut worker).await {
        FromWorker::LoadFailed(failed) => assert_eq!(failed.kind, LoadFailedKind::ProgramRaised, "{failed:?}"),
        other => panic!("{other:?}"),
    }
    eprintln!("200 MB printed in {:?}", started.elapsed());
    tokio::time::sleep(Duration::from_millis(100)).await;
    let output = worker.handle.output();
    assert!(output.text().contains("the last words"));
    assert!(output.text().len() <= 64 * 1024);
    assert!(output.dropped_bytes() > 150_000_000, "{}", output.dropped_bytes());
    let mut forwarded = 0;
    while let Ok(line) = worker.lines.try_recv() {
        forwarded += line.0.len() + 1;
    }
    assert!(forwarded > 1000 && forwarded < 8 * 1024 * 1024, "{forwarded}");
    runtime.zygotes.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lines_are_forwarded_from_both_streams() {
    let runtime = Runtime::new();
    let program = runtime
        .program("import sys\nprint('one')\nsys.stdout.flush()\nprint('two', file=sys.stderr)\nraise SystemError\n");
    let mut worker = runtime.worker("w1").await;
    ping(&mut worker).await;
    send_load(&worker, load(&program)).await;
    assert_eq!(worker.lines.recv().await.map(|line| line.0).as_deref(), Some("one"));
    assert_eq!(worker.lines.recv().await.map(|line| line.0).as_deref(), Some("two"));
    runtime.zygotes.stop().await;
}
