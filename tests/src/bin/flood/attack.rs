//! This module has one attacker of each kind. An attacker whose connection is ended opens another at once
//! (the slow-loris after a while), until the attack is over.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use chapar_transport::dial::{Pool, Settings};
use http_body_util::{BodyExt as _, Full};
use rustls::ClientConfig;
use tokio::io::AsyncReadExt as _;
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::raw::{
    CANCEL, CONTINUATION, DATA, END_HEADERS, END_STREAM, HEADERS, PING, RST_STREAM, Raw, SETTINGS,
    WINDOW_UPDATE, call, fields, frame,
};

/// Frames in one write.
const BATCH: u32 = 64;
/// Addresses of the slow-loris.
const ADDRESSES: usize = 100;

/// Whom the attacks are made by.
#[derive(Clone)]
pub(crate) struct Attacker {
    pub(crate) address: SocketAddr,
    pub(crate) tls: Arc<ClientConfig>,
    /// Those of the slow-loris.
    pub(crate) connections: usize,
}

/// A kind of attack.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Attack {
    /// As many connections that say nothing, made once.
    Silent,
    /// The same, and each that is ended is made again a second later.
    SlowLoris,
    RapidReset,
    MadeYouReset,
    Continuation,
    EmptyData,
    Ping,
    Settings,
    StalledReader,
    GreedyCaller,
}

pub(crate) const ATTACKS: [Attack; 10] = [
    Attack::Silent,
    Attack::SlowLoris,
    Attack::RapidReset,
    Attack::MadeYouReset,
    Attack::Continuation,
    Attack::EmptyData,
    Attack::Ping,
    Attack::Settings,
    Attack::StalledReader,
    Attack::GreedyCaller,
];

impl Attack {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Silent => "silent",
            Self::SlowLoris => "slow-loris",
            Self::RapidReset => "rapid-reset",
            Self::MadeYouReset => "made-you-reset",
            Self::Continuation => "continuation",
            Self::EmptyData => "empty-data",
            Self::Ping => "ping",
            Self::Settings => "settings",
            Self::StalledReader => "stalled-reader",
            Self::GreedyCaller => "greedy-caller",
        }
    }

    /// Attacks until told to stop; how long each connection lived that the gateway ended.
    pub(crate) async fn until(self, attacker: Arc<Attacker>, stop: CancellationToken) -> Vec<Duration> {
        let mut tasks = JoinSet::new();
        let crowd = match self {
            Self::Silent | Self::SlowLoris => attacker.connections,
            Self::StalledReader => 50,
            _ => 1,
        };
        for number in 0..crowd {
            let attacker = Arc::clone(&attacker);
            let stop = stop.clone();
            tasks.spawn(async move {
                let mut lives = Vec::new();
                while let Some(life) = stop.run_until_cancelled(self.once(&attacker, number)).await {
                    lives.extend(life);
                    if self == Self::Silent {
                        break;
                    }
                    let pause = if self == Self::SlowLoris { 1000 } else { 1 };
                    tokio::time::sleep(Duration::from_millis(pause)).await;
                }
                lives
            });
        }
        tasks.join_all().await.into_iter().flatten().collect()
    }

    /// One connection, to its end; nothing if there was none.
    async fn once(self, attacker: &Attacker, number: usize) -> Option<Duration> {
        match self {
            Self::Silent | Self::SlowLoris => return silent(attacker, number).await,
            Self::GreedyCaller => return greedy(attacker).await,
            _ => {}
        }
        let window = if self == Self::StalledReader { vec![(4, 0)] } else { Vec::new() };
        let raw = Raw::connect(attacker.address, &attacker.tls, &window).await.ok()?;
        let began = Instant::now();
        raw.flood(|round| self.frames(round)).await;
        Some(began.elapsed())
    }

    fn frames(self, round: u32) -> Option<Vec<u8>> {
        let stream = |number: u32| 2 * number + 1;
        let path = "/civil.v1.CivilRegistry/GetPerson";
        let open = |number| frame(HEADERS, END_HEADERS, stream(number), &call(path));
        let numbers = round * BATCH..(round + 1) * BATCH;
        match self {
            Self::RapidReset => Some(
                numbers
                    .flat_map(|number| {
                        [open(number), frame(RST_STREAM, 0, stream(number), &CANCEL.to_be_bytes())]
                    })
                    .collect::<Vec<_>>()
                    .concat(),
            ),
            Self::MadeYouReset => Some(
                numbers
                    .flat_map(|number| {
                        let too_much = (u32::MAX >> 1).to_be_bytes();
                        [open(number), frame(WINDOW_UPDATE, 0, stream(number), &too_much)]
                    })
                    .collect::<Vec<_>>()
                    .concat(),
            ),
            Self::Continuation if round == 0 => Some(frame(HEADERS, 0, 1, &call(path))),
            Self::Continuation => {
                Some(frame(CONTINUATION, 0, 1, &fields([("x", "y")])).repeat(BATCH as usize))
            }
            Self::EmptyData if round == 0 => Some(open(0)),
            Self::EmptyData => Some(frame(DATA, 0, 1, b"").repeat(BATCH as usize)),
            Self::Ping => Some(frame(PING, 0, 0, b"whenever").repeat(BATCH as usize)),
            Self::Settings => Some(frame(SETTINGS, 0, 0, b"").repeat(BATCH as usize)),
            // An answer that there is no room for.
            Self::StalledReader if round == 0 => {
                let watch = frame(HEADERS, END_HEADERS, 1, &call("/grpc.health.v1.Health/Watch"));
                Some([watch, frame(DATA, END_STREAM, 1, &[0; 5])].concat())
            }
            Self::StalledReader => None,
            Self::Silent | Self::SlowLoris | Self::GreedyCaller => None,
        }
    }
}

/// Connects from one of many addresses and says nothing, every second one after its handshake.
async fn silent(attacker: &Attacker, number: usize) -> Option<Duration> {
    let socket = TcpSocket::new_v4().ok()?;
    let from = Ipv4Addr::new(127, 1, 0, u8::try_from(1 + number % ADDRESSES).unwrap_or(1));
    socket.bind((from, 0).into()).ok()?;
    let mut stream = socket.connect(attacker.address).await.ok()?;
    let began = Instant::now();
    if number.is_multiple_of(2) {
        wait(&mut stream).await;
    } else if let Ok(raw) = Raw::silent_over(stream, &attacker.tls).await {
        raw.ended().await;
    }
    Some(began.elapsed())
}

async fn wait(stream: &mut TcpStream) {
    // It ends some way or other.
    let _ended = stream.read(&mut [0]).await;
}

/// Calls that would be allowed one by one: sixty-four at once, without a pause.
async fn greedy(attacker: &Attacker) -> Option<Duration> {
    let pool =
        Pool::new(&format!("https://{}", attacker.address), Arc::clone(&attacker.tls), Settings::default());
    let pool = pool.ok()?;
    let ask = || async {
        let id = chapar_tests::people::ZAHRA.as_bytes();
        let message = [&[0x0a, id.len() as u8][..], id].concat();
        let body = Full::new(chapar_transport::frame::encode(Bytes::from(message)));
        let request = http::Request::post("/")
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .header("chapar-purpose", "loan.farm")
            .body(body)
            .unwrap();
        let path = http::uri::PathAndQuery::from_static("/civil.v1.CivilRegistry/GetPerson");
        if let Ok(response) = pool.send(path, request).await {
            // What it says is of no interest.
            response.into_body().collect().await.ok();
        }
    };
    let callers = (0..64).map(|_| async {
        loop {
            ask().await;
        }
    });
    let callers: Vec<()> = futures_util::future::join_all(callers).await;
    drop(callers);
    None
}
