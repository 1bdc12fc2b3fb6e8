#ifndef PODLEASE_TESTS_BENCH_SUBJECT_H_
#define PODLEASE_TESTS_BENCH_SUBJECT_H_

#include <cstdint>
#include <filesystem>
#include <string>

#include "podlease/net/address.h"
#include "process.h"

namespace podlease::bench {

enum class Plugin { kPodlease, kHostLocal };

// What stands in a network before anything is measured. Addresses go from the second of the subnet
// on (the first is the gateway); freed ones lie evenly among the leased ones and are cool.
struct Filling {
  std::string subnet = "10.0.0.0/16";
  std::uint64_t leased = 0;
  std::uint64_t freed = 0;  // for host-local, simply free
  // Not empty: the subnet is not configured, but read from a Node. It is asked for again once it is
  // older than `refresh`.
  std::filesystem::path kubeconfig = {};
  std::string refresh = "1h";
};

// A usable IPv4 /16 has this many addresses besides its gateway.
constexpr std::uint64_t kUsableIn16 = 65'533;

// A plugin with a data folder of its own: one of those that take turns.
class Subject {
 public:
  // Creates the folder and fills it. `netns` is the network namespace of every attachment;
  // `answers` a folder in memory for what plugins print.
  Subject(std::string name, Plugin plugin, std::filesystem::path program,
          std::filesystem::path folder, const Filling& filling, std::filesystem::path netns,
          std::filesystem::path answers);
  Subject(const Subject&) = delete;
  Subject& operator=(const Subject&) = delete;
  Subject(Subject&&) = default;
  Subject& operator=(Subject&&) = default;
  // Removes the folder.
  ~Subject();

  [[nodiscard]] const std::string& name() const { return name_; }
  [[nodiscard]] const std::filesystem::path& program() const { return program_; }
  // What it prints goes to one file, of all subjects: for calls at once, choose others.
  [[nodiscard]] Call call(const std::string& verb, const std::string& container_id) const;

 private:
  void fill_podlease(const Filling& filling) const;
  void fill_host_local(const Filling& filling) const;

  std::string name_;
  Plugin plugin_;
  std::filesystem::path program_;
  std::filesystem::path folder_;  // empty once moved from
  std::filesystem::path netns_;
  std::filesystem::path answers_;
};

// As container runtimes make them: 64 hexadecimal digits. Each time others, the same in every run.
[[nodiscard]] std::string next_container_id();

}  // namespace podlease::bench

#endif  // PODLEASE_TESTS_BENCH_SUBJECT_H_
