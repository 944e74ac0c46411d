//! The application: it builds everything from one configuration, serves it and takes it down again.
//!
//! ```text
//! cli           the command line
//! config        one typed configuration: defaults < file < environment < flags, checked before anything is bound
//! credentials   the API key pair: configured, or generated for development
//! moment, ids   points in time and identifiers, as they are stored and shown
//! text          names and titles, in one normal form
//! calendar      meetings as calendars read them
//! vault         what is stored and only this server may read
//! outbox        what is on its way to others, until it has arrived
//! mail          invitations, changes and cancellations by mail
//! webhooks      what happens, told to other systems
//! deliveries    starts and ends those who carry what is in the outbox
//! door          whom the rooms of scheduled meetings let in
//! gate          what surrounds who arrives: the time, and who is in the room
//! gathering     how a meeting that was ended begins anew
//! meetings      what is scheduled, who is invited, who enters
//! telling       what those in a meeting hear of an event, and who of them
//! live          what happens in meetings, brought into their rooms
//! mdt           cases and outcomes, attendance, quorum, reports
//! proceedings   what happens while a meeting takes place, written down
//! retention     how long what is kept, and the task that removes what is over
//! hub           what was committed, told to all who listen on this server
//! store         the database: the only place that speaks SQL
//! identity      who is calling, and what they may do
//! oidc          what identity providers are asked, and what is believed of their answers
//! app           builds everything; used by main and by tests
//! forwarded     who is calling where a proxy stands in front
//! http          accepts connections, with bounds and deadlines
//! api           what the pages ask for
//! assets        the embedded web pages
//! ops           metrics, probes, logs
//! ```

pub mod api;
pub mod app;
pub mod assets;
pub mod calendar;
pub mod cli;
pub mod config;
pub mod credentials;
pub mod deliveries;
pub mod door;
pub mod forwarded;
pub mod gate;
pub mod gathering;
pub mod http;
pub mod hub;
pub mod identity;
pub mod ids;
pub mod live;
pub mod mail;
pub mod mdt;
pub mod meetings;
pub mod moment;
pub mod oidc;
pub mod ops;
pub mod outbox;
pub mod proceedings;
pub mod retention;
pub mod store;
pub mod telling;
pub mod text;
pub mod vault;
pub mod webhooks;
