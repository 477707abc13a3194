//! One client: its requests, one after the other.

use std::sync::Arc;

use tokio::net::TcpStream;
use tokio::sync::watch;

use super::Shared;
use super::audit::Verdict;
use super::decision::Grant;
use super::dial::{NoConnection, dial};
use super::forward::{Carried, forward};
use super::head::{NoHead, await_head};
use super::inbound::Inbound;
use super::meter::Metered;
use super::refusal::{Fault, denial, failure};
use super::request::{BadRequest, Kind, Request};
use super::rules::EgressRules;
use super::tunnel::tunnel;

/// A client's connection.
pub(super) struct Connection {
    inbound: Inbound,
    rules: watch::Receiver<Arc<EgressRules>>,
    shared: Arc<Shared>,
}

/// What is to be done with the connection.
enum Next {
    Request,
    Answer(Vec<u8>),
    Close,
}

impl Connection {
    pub(super) fn new(
        stream: TcpStream,
        rules: watch::Receiver<Arc<EgressRules>>,
        shared: Arc<Shared>,
    ) -> Self {
        // Small pieces of a handshake are not to wait for each other.
        let _ = stream.set_nodelay(true);
        Self {
            inbound: Inbound::new(stream),
            rules,
            shared,
        }
    }

    /// Answers requests until the client has no more, or one is refused.
    pub(super) async fn serve(mut self) {
        let mut next = self.serve_request(true).await;
        while let Next::Request = next {
            next = self.serve_request(false).await;
        }
        if let Next::Answer(answer) = next {
            self.inbound.finish(&answer).await;
        }
    }

    async fn serve_request(&mut self, is_first: bool) -> Next {
        let head = match await_head(&mut self.inbound, &self.shared.limits, is_first).await {
            Ok(length) => &self.inbound.ahead()[..length],
            Err(NoHead::Gone) => return Next::Close,
            Err(NoHead::Refused(reason)) => {
                return self.refuse(BadRequest::unread(self.inbound.ahead(), reason));
            }
        };
        let head_bytes = head.len();
        match Request::parse(head) {
            Ok(request) => self.decide(&request, head_bytes).await,
            Err(bad) => self.refuse(bad),
        }
    }

    /// Decides by the rules of this moment, and cuts off when later ones decide otherwise.
    async fn decide(&mut self, request: &Request, head_bytes: usize) -> Next {
        let mut rules = self.rules.clone();
        let asked = Grant::ask(&rules.borrow_and_update(), &request.target);
        let grant = match asked {
            Ok(grant) => grant,
            Err(reason) => return self.refuse_target(request, Verdict::Denied(reason)),
        };
        tokio::select! {
            biased;
            () = grant.revoked(&mut rules) => Next::Close,
            next = self.carry(request, &grant, head_bytes) => next,
        }
    }

    async fn carry(&mut self, request: &Request, grant: &Grant<'_>, head_bytes: usize) -> Next {
        let (server, address) = match dial(&self.shared, grant, &request.target).await {
            Ok(connected) => connected,
            Err(NoConnection::Denied(reason)) => {
                return self.refuse_target(request, Verdict::Denied(reason));
            }
            Err(NoConnection::Failed(fault)) => {
                return self.refuse_target(request, Verdict::Failed(fault));
            }
        };
        let ledger = &self.shared.ledger;
        let access = ledger.opened(request.method(), &request.target, address);
        let server = Metered::new(server, Arc::clone(&access.meter));
        tokio::select! {
            () = access.meter.idle(self.shared.limits.idle) => {}
            next = self.exchange(request, server, head_bytes) => return next,
        }
        match request.kind {
            Kind::Http(_) if access.meter.received() == 0 => {
                self.refuse_target(request, Verdict::Failed(Fault::TimedOut))
            }
            _ => Next::Close,
        }
    }

    async fn exchange(
        &mut self,
        request: &Request,
        server: Metered<TcpStream>,
        head_bytes: usize,
    ) -> Next {
        let Kind::Http(http) = &request.kind else {
            self.inbound.consume(head_bytes);
            tunnel(&mut self.inbound, server).await;
            return Next::Close;
        };
        match forward(&mut self.inbound, server, &request.target, http, head_bytes).await {
            Carried::Whole if !http.is_last => Next::Request,
            Carried::Whole | Carried::Broken => Next::Close,
            Carried::NoAnswer => self.refuse_target(request, Verdict::Failed(Fault::BadAnswer)),
        }
    }

    fn refuse(&self, bad: BadRequest) -> Next {
        let BadRequest {
            method,
            shown,
            reason,
        } = bad;
        self.shared.ledger.malformed(method, &shown, reason);
        Next::Answer(denial(&format!("`{shown}`"), reason))
    }

    fn refuse_target(&self, request: &Request, verdict: Verdict) -> Next {
        let target = &request.target;
        self.shared
            .ledger
            .refused(request.method(), target, verdict);
        match verdict {
            Verdict::Denied(reason) => Next::Answer(denial(&target.to_string(), reason)),
            Verdict::Failed(fault) => Next::Answer(failure(&target.to_string(), fault)),
            Verdict::Allowed => Next::Close,
        }
    }
}
