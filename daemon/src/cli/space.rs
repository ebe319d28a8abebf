//! `space`: create, list, show, invite, join, revoke, claim.

use strandline::api::types::{CreateSpace, Handover, Invite, Invited, Join, Space};

use super::Global;
use super::failure::Failure;
use super::membership;
use super::output::{Table, count, or_dash, print_json, print_line, short, size};
use crate::client::{Client, encode};

#[derive(clap::Args)]
#[command(after_help = "Example:\n  strandline space create telemetry\n  strandline space show telemetry")]
pub(crate) struct SpaceArguments {
    #[command(subcommand)]
    command: SpaceCommand,
}

#[derive(clap::Subcommand)]
enum SpaceCommand {
    /// Make a new space, homed on this device
    #[command(after_help = "Example:\n  strandline space create telemetry")]
    Create {
        /// What this device calls it
        name: String,
    },
    /// List the spaces of this device
    #[command(after_help = "Example:\n  strandline space list --json")]
    List,
    /// Show home, version, roots and tail: equal roots are equal contents
    #[command(after_help = "Example:\n  strandline space show telemetry")]
    Show {
        /// Name or id
        name: String,
    },
    /// Make a ticket with which another device joins
    #[command(after_help = "\
Whoever holds the ticket can join until it is spent or expires: pass it on like a password.

Example:
  strandline space invite telemetry
  strandline space invite telemetry --role reader --uses 10 --expires 7d")]
    Invite(InviteArguments),
    /// Take up the duties of a home whose folder was moved or restored
    #[command(after_help = "\
A copy of a home's folder does not act as the home by itself, since two homes would sign against each other. Claim
only if no other copy runs. The folder may be a backup, so the home signs nothing before a member has connected and
said which version it has; a member that was offline then and has a newer one raises an alarm.

Example:
  strandline space claim telemetry
  strandline space claim telemetry --alone     no member has anything newer: sign at once")]
    Claim {
        /// Name or id
        name: String,
        /// No member has anything that this folder lacks: do not wait for one
        #[arg(long)]
        alone: bool,
    },
    /// Take a device out of a space
    #[command(after_help = "\
What of its writes has reached the home stays, like everybody's; nothing it sends from now on is taken by anyone. It
keeps its copy, and can come back with a new ticket. The home decides: without it nobody is revoked.

Example:
  strandline space show telemetry          lists the members
  strandline space revoke telemetry 3f9c")]
    Revoke {
        /// Name or id of the space
        name: String,
        /// The device's id, or the first digits of it
        device: String,
    },
    /// Make another device the home of a space
    #[command(after_help = "\
The other device must be connected and hold the newest version: it is waited for. From then on it decides who is a
member and anchors commits; this device goes on as any other, and can be handed the role back. Tickets that are out
are void: make new ones there.

Example:
  strandline space show telemetry          lists the members
  strandline space handover telemetry 3f9c")]
    Handover {
        /// Name or id of the space
        name: String,

        /// The device's id, or the first digits of it
        device: String,

        /// How long to wait for the device
        #[arg(long, value_name = "TIME")]
        timeout: Option<String>,
    },
    /// Leave a space: what this device wrote is anchored first
    #[command(after_help = "\
Waits until the home has everything this device wrote, then asks to be taken out. The copy stays here to be read and
exported; nothing more goes out or comes in. The home itself hands its role over first.

Example:
  strandline space leave telemetry
  strandline space leave telemetry --timeout 10m")]
    Leave {
        /// Name or id
        name: String,

        /// How long to wait for the home
        #[arg(long, value_name = "TIME")]
        timeout: Option<String>,
    },
    /// Join a space with a ticket
    #[command(after_help = "\
A device that was taken out, or that left, joins again what it still holds.

Example:
  strandline space join TICKET
  strandline space join TICKET --name telemetry --timeout 5m")]
    Join(JoinArguments),
}

#[derive(clap::Args)]
struct InviteArguments {
    /// Name or id
    name: String,

    /// What the new device may do
    #[arg(long, value_enum, default_value_t = Role::Writer)]
    role: Role,

    /// How many devices may use it
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    uses: u64,

    /// How long it is good for: a number with s, m, h or d
    #[arg(long, value_name = "TIME", default_value = "7d")]
    expires: String,
}

#[derive(clap::ValueEnum, Clone, Copy)]
enum Role {
    Reader,
    Writer,
    Tail,
}

#[derive(clap::Args)]
struct JoinArguments {
    /// The ticket, as `space invite` printed it
    ticket: String,

    /// What this device calls the space [default: as the home does]
    #[arg(long, value_name = "NAME")]
    name: Option<String>,

    /// How long to wait for the home
    #[arg(long, value_name = "TIME")]
    timeout: Option<String>,
}

pub(crate) async fn run(global: &Global, arguments: SpaceArguments) -> Result<(), Failure> {
    let mut client = global.client().await?;
    match arguments.command {
        SpaceCommand::Create { name } => create(global, &mut client, &name).await,
        SpaceCommand::List => list_spaces(global, &mut client).await,
        SpaceCommand::Show { name } => show(global, &mut client, &name).await,
        SpaceCommand::Invite(invitation) => invite(global, &mut client, &invitation).await,
        SpaceCommand::Claim { name, alone } => membership::claim(global, &mut client, &name, alone).await,
        SpaceCommand::Revoke { name, device } => membership::revoke(global, &mut client, &name, device).await,
        SpaceCommand::Handover { name, device, timeout } => {
            membership::hand_over(global, &mut client, &name, Handover { device, timeout }).await
        }
        SpaceCommand::Leave { name, timeout } => membership::leave(global, client, &name, timeout).await,
        SpaceCommand::Join(ticket) => join(global, &mut client, &ticket).await,
    }
}

async fn create(global: &Global, client: &mut Client, name: &str) -> Result<(), Failure> {
    let space: Space = client.post("/v1/spaces", &CreateSpace { name: name.to_string() }).await?;
    if global.json {
        return print_json(&space);
    }
    print_line(&format!("created space {} ({}), homed here", space.name, short(&space.id)))
}

async fn list_spaces(global: &Global, client: &mut Client) -> Result<(), Failure> {
    let spaces: Vec<Space> = client.get("/v1/spaces").await?;
    if global.json {
        return print_json(&spaces);
    }
    if spaces.is_empty() {
        return print_line("no spaces yet; make one with: strandline space create NAME");
    }
    table(&spaces).print()
}

/// Spaces side by side; `status` shows the same.
pub(crate) fn table(spaces: &[Space]) -> Table {
    let mut table = Table::new(&["SPACE", "ID", "HOME", "VERSION", "DATA ROOT", "TAIL", "TAIL BYTES", "LOG"]);
    for space in spaces {
        table.row(vec![
            space.name.clone(),
            short(&space.id).to_string(),
            or_dash(short(&space.home)),
            space.version.to_string(),
            or_dash(short(&space.data_root)),
            count(space.tail_commits),
            size(space.tail_bytes),
            size(space.wal_bytes),
        ]);
    }
    table
}

pub(super) async fn show(global: &Global, client: &mut Client, name: &str) -> Result<(), Failure> {
    let space: Space = client.get(&format!("/v1/spaces/{}", encode(name))).await?;
    if global.json {
        return print_json(&space);
    }
    let tail = format!("{} commits, {}", count(space.tail_commits), size(space.tail_bytes));
    for (label, text) in [
        ("name", space.name.as_str()),
        ("id", &space.id),
        ("home", &space.home),
        ("version", &space.version.to_string()),
        ("data root", &space.data_root),
        ("vv root", &space.vv_root),
        ("tail", &tail),
        ("log", &size(space.wal_bytes)),
        ("membership", &space.membership),
    ] {
        print_line(&format!("{label:<11}{text}"))?;
    }
    for member in &space.members {
        let home = if member.is_home { ", home" } else { "" };
        print_line(&format!("{:<11}{} ({}{home})", "member", member.device, member.role))?;
    }
    match &space.error {
        Some(error) => print_line(&format!("{:<11}{error}", "error")),
        None => Ok(()),
    }
}

async fn invite(global: &Global, client: &mut Client, invitation: &InviteArguments) -> Result<(), Failure> {
    let role = match invitation.role {
        Role::Reader => "reader",
        Role::Writer => "writer",
        Role::Tail => "tail",
    };
    let wish = Invite { role: role.to_string(), uses: invitation.uses, expires: invitation.expires.clone() };
    let invited: Invited =
        client.post(&format!("/v1/spaces/{}/invite", encode(&invitation.name)), &wish).await?;
    // The ticket alone on stdout: it is what the next command takes.
    if global.json { print_json(&invited) } else { print_line(&invited.ticket) }
}

async fn join(global: &Global, client: &mut Client, join: &JoinArguments) -> Result<(), Failure> {
    let wish = Join {
        ticket: join.ticket.trim().to_string(),
        name: join.name.clone(),
        timeout: join.timeout.clone(),
        offline: false,
    };
    let space: Space = client.post("/v1/join", &wish).await?;
    if global.json {
        return print_json(&space);
    }
    print_line(&format!("joined {} ({})", space.name, short(&space.id)))
}
