//! How much the simulator sends: callbacks a second towards a responder that does nothing but answer, on another thread,
//! and the CPU time that the simulator itself takes for each. Then bodies a second without a network.
//!
//! `cargo bench -p chathook-simulator [-- SECONDS_PER_ROUND ROUNDS]`

#![expect(clippy::print_stdout, clippy::unwrap_used, reason = "a benchmark prints, and ends when something is wrong")]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use chathook_protocol::Command;
use chathook_simulator::{App, Population, Run, Scenario, Shapes};

const ANSWER: &[u8] =
    b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n{\"ActionStatus\":\"OK\",\"ErrorInfo\":\"\",\"ErrorCode\":0}";
const CONNECTIONS: usize = 64;
const MIXES: [(&str, &str); 4] = [
    ("state changes", "state-change = 1"),
    ("one-to-one messages", "one-to-one = 1"),
    ("group messages", "group-message = 1"),
    ("mixed", "one-to-one = 5\ngroup-message = 5\nstate-change = 2\npush = 1\nfriend-request = 1"),
];

fn main() {
    let mut numbers = std::env::args().filter_map(|argument| argument.parse().ok());
    let (seconds, rounds) = (numbers.next().unwrap_or(3_u64), numbers.next().unwrap_or(3_u64));
    bodies();
    let address = responder();
    for (name, mix) in MIXES {
        for _ in 0..rounds {
            round(address, name, mix, seconds);
        }
    }
}

fn bodies() {
    for command in
        [Command::StateChange, Command::C2cBeforeSendMsg, Command::GroupAfterSendMsg, Command::PushOfflinePush]
    {
        let mut shapes = Shapes::new(1, Population::default(), Duration::from_secs(1_764_812_305));
        let (count, started) = (200_000, Instant::now());
        let bytes: usize = (0..count).map(|_| shapes.request(command).body.len()).sum();
        let each = started.elapsed().as_secs_f64() * 1e9 / f64::from(count);
        println!("{command}: {each:.0} ns a callback of {} bytes on average", bytes / 200_000);
    }
}

/// Answers on a thread of its own; whatever comes, it is the end of a request that counts.
fn responder() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        loop {
            let (stream, _) = listener.accept().unwrap();
            stream.set_nodelay(true).unwrap();
            std::thread::Builder::new().stack_size(64 * 1024).spawn(move || respond(stream)).unwrap();
        }
    });
    address
}

fn respond(mut stream: TcpStream) {
    let mut buffer = vec![0; 64 * 1024];
    let mut held = 0;
    while let Ok(read @ 1..) = stream.read(&mut buffer[held..]) {
        held += read;
        let Some(head) = buffer[..held].windows(4).position(|window| window == b"\r\n\r\n") else { continue };
        let text = std::str::from_utf8(&buffer[..head]).unwrap();
        let length: usize = text.rsplit(' ').next().unwrap().parse().unwrap();
        if held == head + 4 + length {
            held = 0;
            if stream.write_all(ANSWER).is_err() {
                return;
            }
        }
    }
}

fn round(address: SocketAddr, name: &str, mix: &str, seconds: u64) {
    let toml = format!(
        "name = \"bench\"\nrate = \"max\"\nduration = \"{seconds}s\"\nwarm_up = \"500ms\"\nconnections = {CONNECTIONS}\n\
         [mix]\n{mix}"
    );
    let run = Run::new(
        Scenario::parse(&toml).unwrap(),
        [format!("http://{address}/").parse().unwrap()],
        App::signed(1_400_000_001, "token"),
    );
    let before = worker_time();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let sampler = std::thread::spawn(move || {
        // The worker is gone when the run is over: look shortly before.
        std::thread::sleep(Duration::from_millis(seconds * 1000 + 300));
        worker_time()
    });
    let report = runtime.block_on(run.until(std::future::pending())).unwrap();
    let cpu = sampler.join().unwrap() - before;
    let share = (seconds as f64 + 0.3) / (seconds as f64 + 0.5);
    let sent = report.answered_rate * (seconds as f64 + 0.5) * share;
    println!(
        "{name}: {:.0} callbacks/s, {:.1} us CPU of the sending thread each, so {:.0}/s from one core; {} failed",
        report.answered_rate,
        cpu * 1e6 / sent,
        sent / cpu,
        report.all.failed()
    );
}

/// CPU seconds of the thread that sends.
fn worker_time() -> f64 {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap();
    let worker = tasks
        .filter_map(Result::ok)
        .find(|task| std::fs::read_to_string(task.path().join("comm")).is_ok_and(|name| name.trim() == "worker-0"));
    let Some(worker) = worker else { return 0.0 };
    let stat = std::fs::read_to_string(worker.path().join("schedstat")).unwrap();
    stat.split(' ').next().unwrap().parse::<f64>().unwrap() / 1e9
}
