#include "liveness.h"

#include <algorithm>
#include <filesystem>
#include <map>
#include <system_error>
#include <utility>

namespace podlease::ipam {
namespace {

std::string_view folder_text(std::string_view netns) {
  return netns.substr(0, netns.rfind('/') + 1);
}

// A namespace without a process lives as long as its name, so a name in a folder that was never
// seen proves nothing.
bool has_view(const store::Presence& presence) {
  return presence.view != store::View{};
}

}  // namespace

std::string_view what_settles(Doubt doubt) {
  switch (doubt) {
    case Doubt::kNone:
      return "";
    case Doubt::kNothingRecorded:
      return "No network namespace was recorded for it: the runtime's GC settles it, or "
             "`podlease gc` once libcni's cache holds other attachments of its network and not "
             "this one, or `podlease release --force`.";
    case Doubt::kOtherView:
      return "It was recorded in another PID namespace, or for another folder of network "
             "namespaces: run podlease where the runtime runs, or `podlease gc --view-ended` if "
             "that container has ended.";
    case Doubt::kFolderUnseen:
      return "The folder of its network namespace cannot be seen: run podlease on the host, as "
             "root.";
    case Doubt::kNotANamespace:
      return "A file that is no network namespace has its name: remove the file, once no pod "
             "uses it.";
    case Doubt::kProcessesUnread:
      return "Not every process could be read in /proc: run podlease as root with all capabilities "
             "(CAP_SYS_PTRACE), where /proc shows all processes.";
    case Doubt::kProcessesUnproven:
      return "/proc shows no process of any pod here: run podlease in the host's PID namespace.";
  }
  return "";
}

store::View view_at(const host::Host& host, const std::string& netns) {
  const host::NetnsId folder = host.folder_of(netns).value_or(host::NetnsId{});
  return {.pid_namespace = host.view().pid_namespace,
          .folder_device = folder.device,
          .folder_inode = folder.inode};
}

store::Presence presence_of(const host::Host& host, const std::string& netns) {
  store::Presence presence{.boot_id = host.boot_id(), .netns = netns};
  const host::NetnsAt found = host.netns_at(netns);
  if (found.state != host::NetnsState::kAlive) {
    return presence;
  }
  presence.netns_device = found.id.device;
  presence.netns_inode = found.id.inode;
  presence.netns_cookie = host.cookie_at(netns, found.id);
  presence.view = view_at(host, netns);
  return presence;
}

host::NetnsId id_of(const store::Presence& presence) {
  return {.device = presence.netns_device, .inode = presence.netns_inode};
}

bool is_below_proc(std::string_view netns) {
  return netns.starts_with("/proc/");
}

std::vector<store::Holder> holders_of(const std::vector<store::Lease>& leases) {
  std::vector<store::Holder> holders;
  holders.reserve(leases.size());
  for (const store::Lease& lease : leases) {
    holders.push_back(holder_of(lease));
  }
  return holders;
}

store::Holder holder_of(const store::Lease& lease) {
  return {.network = 0,
          .address = lease.address.address(),
          .presence = lease.presence,
          .created = lease.created};
}

Same same_namespace(const store::Presence& a, const store::Presence& b) {
  if (a.boot_id.empty() || b.boot_id.empty() || a.netns_inode == 0 || b.netns_inode == 0) {
    return a.boot_id != b.boot_id && !a.boot_id.empty() && !b.boot_id.empty() ? Same::kNo
                                                                              : Same::kUnknown;
  }
  const bool cookies_differ =
      a.netns_cookie != 0 && b.netns_cookie != 0 && a.netns_cookie != b.netns_cookie;
  return a.boot_id == b.boot_id && id_of(a) == id_of(b) && !cookies_differ ? Same::kYes : Same::kNo;
}

void Walk::again(const Clock& clock) {
  constexpr Milliseconds kApart{200};
  clock.sleep(kApart);
  host::Occupied second = host_->occupied();
  occupied_.processes.merge(second.processes);
  occupied_.complete = occupied_.complete && second.complete;
  ++count_;
}

Walk Walk::twice(const host::Host& host, const Clock& clock) {
  Walk walk(host);
  walk.again(clock);
  return walk;
}

int Walk::process_in(const store::Presence& presence) const {
  const host::NetnsId id = id_of(presence);
  const auto found = occupied_.processes.find(id);
  if (id.inode == 0 || found == occupied_.processes.end()) {
    return 0;
  }
  const int process = found->second;
  if (presence.netns_cookie != 0) {
    const std::uint64_t cookie =
        host_->cookie_at("/proc/" + std::to_string(process) + "/ns/net", id);
    if (cookie != 0 && cookie != presence.netns_cookie) {
      return 0;  // a later namespace has the number
    }
  }
  return process;
}

namespace {

Judgement look_at_name(const host::Host& host, const store::Presence& presence, bool by_key,
                       Names& names) {
  const host::NetnsId id = id_of(presence);
  if (host.is_at(presence.netns, id)) {
    const std::uint64_t cookie =
        by_key || presence.netns_cookie == 0 ? 0 : host.cookie_at(presence.netns, id);
    const bool is_another = cookie != 0 && cookie != presence.netns_cookie;
    return {.liveness = is_another ? Liveness::kMissing : Liveness::kAlive};
  }
  switch (host.netns_at(presence.netns).state) {
    case host::NetnsState::kAlive:
    case host::NetnsState::kAbsent:
      return {.liveness = Liveness::kMissing};
    case host::NetnsState::kDoubt:
      return {.liveness = Liveness::kDoubt,
              .doubt = names.folder_of(host, presence.netns) || is_below_proc(presence.netns)
                           ? Doubt::kNotANamespace
                           : Doubt::kFolderUnseen};
  }
  return {};
}

}  // namespace

Judgement Names::at(const host::Host& host, const store::Presence& presence, bool by_key) {
  const bool is_by_key = by_key || presence.netns_cookie == 0;
  const auto [known, is_new] =
      known_->names.try_emplace({presence.netns, presence.netns_device, presence.netns_inode,
                                 is_by_key ? 0 : presence.netns_cookie, is_by_key});
  if (is_new) {
    known->second = look_at_name(host, presence, by_key, *this);
  }
  return known->second;
}

std::optional<host::NetnsId> Names::folder_of(const host::Host& host, const std::string& netns) {
  const std::string_view folder = folder_text(netns);
  auto known = known_->folders.find(folder);
  if (known == known_->folders.end()) {
    known = known_->folders.emplace(folder, host.folder_of(netns)).first;
  }
  return known->second;
}

Judge::Judge(const host::Host& host, std::string boot_id, Names names)
    : host_(&host),
      boot_id_(std::move(boot_id)),
      booted_(host.booted_at()),
      view_(host.view()),
      names_(std::move(names)) {}

void Judge::trust(const store::Presence& presence) {
  if (presence.boot_id != boot_id_ || presence.netns_inode == 0) {
    return;
  }
  if (has_view(presence) && is_of_our_processes(presence.view)) {
    witnesses_.push_back(presence);
  }
  const std::string_view folder = folder_text(presence.netns);
  if (!is_below_proc(presence.netns) && !trusted_folders_.contains(folder)) {
    trusted_folders_.emplace(folder);
  }
}

bool Judge::is_of_our_processes(const store::View& view) const {
  return view_.is_initial || (view.pid_namespace != 0 && view.pid_namespace == view_.pid_namespace);
}

// By another name, too: /var/run is /run.
bool Judge::trusts_folder_of(std::string_view netns) const {
  const std::string_view folder = folder_text(netns);
  if (trusted_folders_.contains(folder)) {
    return true;
  }
  std::error_code unknown;
  const std::filesystem::path canonical = std::filesystem::weakly_canonical(folder, unknown);
  return !unknown &&
         std::any_of(
             trusted_folders_.begin(), trusted_folders_.end(), [&](const std::string& trusted) {
               std::error_code error;
               return std::filesystem::weakly_canonical(trusted, error) == canonical && !error;
             });
}

// Why a name that is missing here may be there for others; kNone if it would be seen.
Doubt Judge::why_unseen(const store::Presence& presence) {
  const bool below_proc = is_below_proc(presence.netns);
  if (!has_view(presence)) {
    // Of a store of before: a holder that lives vouches for its folder.
    const bool seen = below_proc ? view_.is_initial : trusts_folder_of(presence.netns);
    return seen ? Doubt::kNone : Doubt::kOtherView;
  }
  if (!is_of_our_processes(presence.view)) {
    return Doubt::kOtherView;
  }
  if (below_proc) {
    return Doubt::kNone;
  }
  const std::optional<host::NetnsId> folder = names_.folder_of(*host_, presence.netns);
  if (!folder) {
    return Doubt::kFolderUnseen;
  }
  const host::NetnsId recorded{.device = presence.view.folder_device,
                               .inode = presence.view.folder_inode};
  return *folder == recorded ? Doubt::kNone : Doubt::kOtherView;
}

// A container may have a boot id of its own, made up for it. What was leased by a process that saw
// other processes is of an earlier boot for certain only if this kernel was not up yet.
Judgement Judge::of_another_boot(const store::Holder& holder) const {
  constexpr Milliseconds kSlack{5'000};
  const std::uint64_t theirs = holder.presence.view.pid_namespace;
  const bool contradicts = theirs != 0 && view_.pid_namespace != 0 && theirs != view_.pid_namespace;
  const bool is_older = holder.created + kSlack < booted_;
  return contradicts && !is_older
             ? Judgement{.liveness = Liveness::kDoubt, .doubt = Doubt::kOtherView}
             : Judgement{.liveness = Liveness::kEarlierBoot};
}

Judgement Judge::by_name(const store::Holder& holder, Depth depth) {
  const store::Presence& presence = holder.presence;
  if (presence.boot_id.empty()) {
    return {.liveness = Liveness::kDoubt, .doubt = Doubt::kNothingRecorded};
  }
  if (presence.boot_id != boot_id_) {
    return of_another_boot(holder);
  }
  if (presence.netns.empty()) {
    return {.liveness = Liveness::kDoubt, .doubt = Doubt::kNothingRecorded};
  }
  if (presence.netns_inode == 0) {
    // It could not be seen at its ADD. If it is there now, it is the one.
    const bool there = host_->netns_at(presence.netns).state == host::NetnsState::kAlive;
    return there ? Judgement{.liveness = Liveness::kAlive}
                 : Judgement{.liveness = Liveness::kDoubt, .doubt = Doubt::kNothingRecorded};
  }
  const Judgement named = names_.at(*host_, presence, depth == Depth::kKey);
  if (named.liveness == Liveness::kAlive) {
    trust(presence);
  }
  if (named.liveness != Liveness::kMissing) {
    return named;
  }
  const Doubt unseen = why_unseen(presence);
  return unseen == Doubt::kNone ? named : Judgement{.liveness = Liveness::kDoubt, .doubt = unseen};
}

Judgement Judge::conclude(const Walk* walk, const store::Holder& holder, bool is_renumbered) {
  const store::Presence& presence = holder.presence;
  const Judgement named = by_name(holder);
  if (walk == nullptr || named.liveness == Liveness::kAlive ||
      named.liveness == Liveness::kEarlierBoot) {
    return named;
  }
  if (presence.boot_id == boot_id_ && !is_renumbered) {
    if (const int process = walk->process_in(presence)) {
      trust(presence);
      return {.liveness = Liveness::kAlive, .process = process};
    }
  }
  if (named.liveness != Liveness::kMissing) {
    return named;
  }
  if (!walk->complete()) {
    return {.liveness = Liveness::kDoubt, .doubt = Doubt::kProcessesUnread};
  }
  const bool proven = view_.is_initial || std::any_of(witnesses_.begin(), witnesses_.end(),
                                                      [&](const store::Presence& witness) {
                                                        return walk->process_in(witness) != 0;
                                                      });
  return proven ? Judgement{.liveness = Liveness::kGone}
                : Judgement{.liveness = Liveness::kDoubt, .doubt = Doubt::kProcessesUnproven};
}

std::vector<Judgement> Judge::all(const std::vector<store::Holder>& holders, const Walk* walk) {
  // First the names: whoever lives is a witness, and vouches for its folder.
  std::vector<Judgement> judgements;
  judgements.reserve(holders.size());
  std::map<host::NetnsId, std::chrono::sys_time<Milliseconds>> named;  // since when
  for (const store::Holder& holder : holders) {
    const store::Presence& presence = holder.presence;
    judgements.push_back(by_name(holder));
    if (judgements.back().liveness == Liveness::kAlive) {
      // A process is no name, and may be one in the first holder's namespace.
      if (!is_below_proc(presence.netns)) {
        auto& since = named[id_of(presence)];
        since = std::max(since, holder.created);
      }
    } else if (walk != nullptr && presence.boot_id == boot_id_ && presence.netns_cookie != 0 &&
               walk->process_in(presence) != 0) {
      trust(presence);
    }
  }
  for (std::size_t index = 0; index < holders.size(); ++index) {
    if (judgements[index].liveness == Liveness::kAlive ||
        judgements[index].liveness == Liveness::kEarlierBoot) {
      continue;
    }
    // Without a cookie the number is all that is known, and a later lease may have it now.
    const store::Presence& presence = holders[index].presence;
    const auto later = named.find(id_of(presence));
    const bool is_renumbered = presence.netns_cookie == 0 && later != named.end() &&
                               later->second > holders[index].created;
    judgements[index] = conclude(walk, holders[index], is_renumbered);
  }
  return judgements;
}

Judgement WalkOnDemand::judge(Judge& judge, const store::Holder& holder) {
  Judgement judgement = judge.by_name(holder);
  if (judgement.liveness != Liveness::kMissing) {
    return judgement;
  }
  return judge.with(&walk(), holder);
}

const Walk& WalkOnDemand::walk() {
  if (!walk_) {
    walk_.emplace(*host_);
  }
  return *walk_;
}

void see_all(Judge& judge, store::Transaction& transaction, const Walk& walk) {
  for (const store::Network& network : store::NetworkTable(transaction).all()) {
    static_cast<void>(judge.all(store::LeaseTable(transaction).holders(network), &walk));
  }
}

Judge judge_of_store(store::Transaction& transaction, const host::Host& host,
                     const std::string& boot_id, const Walk& walk) {
  Judge judge(host, boot_id);
  see_all(judge, transaction, walk);
  return judge;
}

}  // namespace podlease::ipam
