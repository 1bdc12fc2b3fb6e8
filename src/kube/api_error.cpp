#include "podlease/kube/client.h"

namespace podlease::kube {
namespace {

ErrorKind kind_of(ApiError::Cause cause) {
  switch (cause) {
    case ApiError::Cause::kIdentity:
    case ApiError::Cause::kRejected:
      return ErrorKind::kConfig;
    case ApiError::Cause::kUnreachable:
    case ApiError::Cause::kTimeout:
    case ApiError::Cause::kServerTls:
    case ApiError::Cause::kUnauthorized:
    case ApiError::Cause::kForbidden:
    case ApiError::Cause::kConflict:
    case ApiError::Cause::kThrottled:
    case ApiError::Cause::kServer:
    case ApiError::Cause::kNotInstalled:
    case ApiError::Cause::kBadAnswer:
      return ErrorKind::kBusy;
  }
  return ErrorKind::kBusy;
}

}  // namespace

bool is_certainly_refused(ApiError::Cause cause) {
  switch (cause) {
    case ApiError::Cause::kServerTls:
    case ApiError::Cause::kIdentity:
    case ApiError::Cause::kUnauthorized:
    case ApiError::Cause::kForbidden:
    case ApiError::Cause::kConflict:
    case ApiError::Cause::kThrottled:
    case ApiError::Cause::kNotInstalled:
    case ApiError::Cause::kRejected:
      return true;
    case ApiError::Cause::kUnreachable:
    case ApiError::Cause::kTimeout:
    case ApiError::Cause::kServer:
    case ApiError::Cause::kBadAnswer:
      return false;
  }
  return false;
}

ApiError::ApiError(Cause cause, const std::string& message, std::string details)
    : Error(kind_of(cause), message, std::move(details)), cause_(cause) {}

}  // namespace podlease::kube
