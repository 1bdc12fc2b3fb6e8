#ifndef PODLEASE_SRC_KUBE_REFUSAL_H_
#define PODLEASE_SRC_KUBE_REFUSAL_H_

#include "connection.h"
#include "podlease/kube/client.h"
#include "podlease/kube/kubeconfig.h"

namespace podlease::kube {

// HTTP statuses that mean something of their own.
inline constexpr unsigned kOk = 200;
inline constexpr unsigned kCreated = 201;
inline constexpr unsigned kAccepted = 202;
inline constexpr unsigned kUnauthorized = 401;
inline constexpr unsigned kForbidden = 403;
inline constexpr unsigned kNotFound = 404;
inline constexpr unsigned kConflict = 409;
inline constexpr unsigned kGone = 410;
inline constexpr unsigned kUnprocessable = 422;
inline constexpr unsigned kTooManyRequests = 429;
inline constexpr unsigned kFirstServerError = 500;
inline constexpr unsigned kServiceUnavailable = 503;

// Reports whether the API says that there is no such object. That there is no such path says so too
// of an object whose kind the API `may_not_know`; else it is a wrong path, or not the API at all.
[[nodiscard]] bool is_missing(const Answer& answer, bool may_not_know);

// Reports whether the API does not know the path at all: a kind that is not installed.
[[nodiscard]] bool is_unknown_path(const Answer& answer);

// What an answer that is not kOk means to whom the kubeconfig makes us.
[[nodiscard]] ApiError refusal_in(const Answer& answer, const Kubeconfig& kubeconfig);

}  // namespace podlease::kube

#endif  // PODLEASE_SRC_KUBE_REFUSAL_H_
