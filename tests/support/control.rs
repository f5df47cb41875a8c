//! The control plane without a socket: the router over a real keeper, with a store in memory and a clock that
//! stands still until it is told.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::{HeaderMap, Request, StatusCode};
use rhumb::api::auth::Origin;
use rhumb::api::{Api, App, Hooks, routes};
use rhumb::config::{ApiConfig, Config};
use rhumb::state::clock::{Clocks, Reading};
use rhumb::state::keeper::{self, Beginning, Kept, State};
use rhumb::state::model::Time;
use rhumb::state::store::embedded::Embedded;
use rhumb::state::store::{Contents, Store};
use serde_json::Value;
use tokio::runtime::Runtime;
use tower::ServiceExt;

use super::Folder;
use super::disk::Disk;
use super::entries::new_disk;

/// When the clock begins.
const BEGIN: i64 = 1_800_000_000;

/// A clock that is told.
#[derive(Clone, Default)]
pub struct Hands {
    elapsed: Arc<AtomicU64>,
    ahead: Arc<AtomicU64>,
}

impl Hands {
    /// Moves on.
    pub fn pass(&self, seconds: u64) {
        self.elapsed.fetch_add(seconds, Ordering::SeqCst);
    }

    /// Jumps ahead: the wall clock moves, and no time passes.
    pub fn jump(&self, seconds: u64) {
        self.ahead.fetch_add(seconds, Ordering::SeqCst);
    }

    /// What it says.
    pub fn now(&self) -> Time {
        let seconds = self.elapsed.load(Ordering::SeqCst) + self.ahead.load(Ordering::SeqCst);
        Time::from_second(BEGIN + seconds as i64).unwrap()
    }

    /// The same, as the keeper reads it.
    pub fn clocks(&self) -> Clocks {
        let hands = self.clone();
        Box::new(move || {
            let elapsed = Duration::from_secs(hands.elapsed.load(Ordering::SeqCst));
            Reading { wall: hands.now(), elapsed }
        })
    }
}

/// A control plane.
pub struct Control {
    pub folder: Folder,
    pub state: State,
    pub disk: Disk,
    pub hands: Hands,
    pub runtime: Runtime,
    router: Router,
}

/// What `[api]` says when it says nothing.
pub fn config() -> ApiConfig {
    Config::parse(Path::new("rhumb.toml"), "").unwrap().api
}

/// A keeper over a store in memory, of what is in the folder.
pub fn keep(folder: &Folder, disk: &Disk, hands: &Hands) -> State {
    let medium = disk.clone();
    // The path is where the backup goes, and nothing else.
    let path = folder.path().join("store");
    let mut store = Embedded::open_with(&path, move |_| Ok(medium.clone())).unwrap();
    let contents: Contents = store.read().unwrap();
    let beginning = Beginning {
        store: Kept::Store(Box::new(store)),
        contents,
        loaded: folder.load().unwrap(),
        clocks: hands.clocks(),
        not_ready: None,
    };
    keeper::start(beginning).unwrap().0
}

impl Control {
    /// Of the example.
    pub fn new() -> Control {
        Control::with(Folder::example(), config(), Hooks::default())
    }

    /// Of a folder, told so.
    pub fn with(folder: Folder, config: ApiConfig, hooks: Hooks) -> Control {
        let (disk, hands) = (new_disk(), Hands::default());
        let state = keep(&folder, &disk, &hands);
        let clock = hands.clone();
        let hooks = Hooks { clock: Box::new(move || clock.now()), ..hooks };
        let app = App::new(Api { config, node: "test".into(), state: state.clone(), hooks });
        let router = routes::router(&Arc::new(app));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        Control { folder, state, disk, hands, runtime, router }
    }

    /// Calls as whoever sits at the Unix socket.
    pub fn local(&self, method: &str, path: &str) -> Call<'_> {
        self.call(method, path, Origin::Socket)
    }

    /// Calls from an address.
    pub fn remote(&self, method: &str, path: &str) -> Call<'_> {
        self.call(method, path, Origin::Address(SocketAddr::from((Ipv4Addr::LOCALHOST, 40_000))))
    }

    fn call(&self, method: &str, path: &str, origin: Origin) -> Call<'_> {
        let request = Request::builder().method(method).uri(path).extension(ConnectInfo(origin));
        Call { control: self, request: Mutex::new(Some(request)), body: None }
    }

    /// Makes a token; its secret.
    pub fn token(&self, name: &str, role: &str, pool: Option<&str>) -> String {
        let body = serde_json::json!({ "name": name, "role": role, "pool": pool });
        let made = self.local("POST", "/api/v1/tokens").json(&body).ok();
        made["token"].as_str().unwrap().into()
    }

    /// Lets time pass, and the keeper do what is due.
    pub fn pass(&self, seconds: u64) {
        self.hands.pass(seconds);
        // What time alone asks for is done at most every 100 ms.
        std::thread::sleep(Duration::from_millis(120));
        for _ in 0..2 {
            self.runtime.block_on(self.state.export()).unwrap();
        }
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        self.state.stop();
    }
}

/// A request in the making.
pub struct Call<'c> {
    control: &'c Control,
    request: Mutex<Option<axum::http::request::Builder>>,
    body: Option<Vec<u8>>,
}

/// A response.
#[derive(Debug)]
pub struct Reply {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

impl Call<'_> {
    /// With a header.
    pub fn header(self, name: &str, value: &str) -> Self {
        let mut request = self.request.lock().unwrap();
        *request = request.take().map(|request| request.header(name, value));
        drop(request);
        self
    }

    /// With a token.
    pub fn bearer(self, secret: &str) -> Self {
        self.header("authorization", &format!("Bearer {secret}"))
    }

    /// With a body.
    pub fn json(self, body: &Value) -> Self {
        self.bytes(body.to_string().into_bytes()).header("content-type", "application/json")
    }

    /// With a body of any kind.
    pub fn bytes(mut self, body: Vec<u8>) -> Self {
        self.body = Some(body);
        self
    }

    /// Sends it.
    pub fn send(self) -> Reply {
        let request = self.request.into_inner().unwrap().unwrap();
        let request = request.body(self.body.map_or_else(Body::empty, Body::from)).unwrap();
        self.control.runtime.block_on(async {
            let response = self.control.router.clone().oneshot(request).await.unwrap();
            let (parts, body) = response.into_parts();
            let body = axum::body::to_bytes(body, usize::MAX).await.unwrap().to_vec();
            Reply { status: parts.status, headers: parts.headers, body }
        })
    }

    /// Sends it, and gives the response without reading its body: a stream does not end.
    pub fn open(self) -> axum::response::Response {
        let request = self.request.into_inner().unwrap().unwrap();
        let request = request.body(Body::empty()).unwrap();
        self.control.runtime.block_on(self.control.router.clone().oneshot(request)).unwrap()
    }

    /// Sends it; it must be done.
    #[track_caller]
    pub fn ok(self) -> Value {
        let reply = self.send();
        assert!(reply.status.is_success(), "{} {}", reply.status, reply.text());
        reply.json()
    }

    /// Sends it; it must be refused with this status, and a problem that says these words.
    #[track_caller]
    pub fn refused(self, status: u16, words: &str) -> Value {
        let reply = self.send();
        assert_eq!(reply.status.as_u16(), status, "{}", reply.text());
        assert_eq!(reply.headers["content-type"], "application/problem+json", "{}", reply.text());
        let problem = reply.json();
        assert_eq!(problem["status"], status);
        let detail = problem["detail"].as_str().unwrap();
        assert!(detail.contains(words), "{words}: {problem}");
        problem
    }
}

impl Reply {
    /// Its body.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    /// Its body.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}
