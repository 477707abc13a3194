//! From `POST /code` to the first frame of the stream.

use crate::Effort;
use crate::model::Model;
use crate::sample::Sample;
use crate::server::Server;

pub(crate) fn measure(effort: Effort) {
    let server = Server::start(&Model::start(0));
    server.code();
    let watched = (0..effort.first_frames).map(|_| server.code().first_frame);
    watched
        .collect::<Sample>()
        .print("POST /code to the first frame");
}
