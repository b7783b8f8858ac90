// SPDX-License-Identifier: Apache-2.0

package autobus

// Reason is a stable slug that says why. GET /problems/<reason> and docs/reference/errors.md explain each.
type Reason string

// Reasons of refusals of one event.
const (
	ReasonTypeUnknown       Reason = "type_unknown"
	ReasonTypeInvalid       Reason = "type_invalid"
	ReasonTypeReserved      Reason = "type_reserved"
	ReasonTypeUnreadable    Reason = "type_unreadable"
	ReasonEventInvalid      Reason = "event_invalid"
	ReasonDataInvalid       Reason = "data_invalid"
	ReasonDataUnreadable    Reason = "data_unreadable"
	ReasonContentType       Reason = "content_type_unsupported"
	ReasonEventTooLarge     Reason = "event_too_large"
	ReasonHeaderTooLarge    Reason = "header_too_large"
	ReasonHeaderReserved    Reason = "header_reserved"
	ReasonKeyMissing        Reason = "key_missing"
	ReasonKeyMismatch       Reason = "key_mismatch"
	ReasonKeyTooLarge       Reason = "key_too_large"
	ReasonIDConflict        Reason = "id_conflict"
	ReasonPredecessorFailed Reason = "predecessor_failed"
	ReasonNotDurable        Reason = "not_durable"
	ReasonRouteMismatch     Reason = "route_mismatch"
	ReasonCapacity          Reason = "capacity"
	ReasonStorageFull       Reason = "storage_full"
	ReasonOutcomeUnknown    Reason = "outcome_unknown"
	ReasonForbidden         Reason = "forbidden"
	ReasonReplyAddress      Reason = "reply_address_invalid"
	ReasonNoResponder       Reason = "no_responder"
	ReasonDeadlinePassed    Reason = "deadline_passed"
)

// Reasons around requests and their replies.
const (
	ReasonReplyTimeout    Reason = "reply_timeout"
	ReasonResponderFailed Reason = "responder_failed"
	ReasonRequestUnknown  Reason = "request_unknown"
	ReasonCommandTaken    Reason = "command_taken"
	ReasonHTTPUnsupported Reason = "http_unsupported"
	ReasonScheduleInvalid Reason = "schedule_invalid"
)

// Reasons of refusals of a whole request.
const (
	ReasonUnauthenticated  Reason = "unauthenticated"
	ReasonOriginForbidden  Reason = "origin_forbidden"
	ReasonRequestInvalid   Reason = "request_invalid"
	ReasonBodyUnreadable   Reason = "body_unreadable"
	ReasonBatchTooLarge    Reason = "batch_too_large"
	ReasonBatchInFlight    Reason = "batch_in_flight"
	ReasonModeInvalid      Reason = "mode_invalid"
	ReasonFilterInvalid    Reason = "filter_invalid"
	ReasonFrameInvalid     Reason = "frame_invalid"
	ReasonMediaType        Reason = "media_type_unsupported"
	ReasonMethodNotAllowed Reason = "method_not_allowed"
	ReasonPathUnknown      Reason = "path_unknown"
	ReasonQuota            Reason = "quota"
	ReasonSlowConsumer     Reason = "slow_consumer"
	ReasonPositionLost     Reason = "position_lost"
	ReasonStarting         Reason = "starting"
	ReasonShuttingDown     Reason = "shutting_down"
	ReasonUnimplemented    Reason = "unimplemented"
	ReasonInternal         Reason = "internal"
)

// Reasons around deliveries, control state, clusters and specs.
const (
	ReasonSubscriptionUnknown Reason = "subscription_unknown"
	ReasonSubscriptionInvalid Reason = "subscription_invalid"
	ReasonDeadLetterUnknown   Reason = "dead_letter_unknown"
	ReasonJobUnknown          Reason = "job_unknown"
	ReasonTooManyJobs         Reason = "too_many_jobs"
	ReasonScheduleUnknown     Reason = "schedule_unknown"
	ReasonScheduleDue         Reason = "schedule_due"
	ReasonSubscriptionExists  Reason = "subscription_exists"
	ReasonPositionInvalid     Reason = "position_invalid"
	ReasonEventDone           Reason = "event_done"
	ReasonRangeExpired        Reason = "range_expired"
	ReasonManagedBySpec       Reason = "managed_by_spec"
	ReasonSessionUnknown      Reason = "session_unknown"
	ReasonOutcomeInvalid      Reason = "outcome_invalid"
	ReasonLeaseStale          Reason = "lease_stale"
	ReasonLeaseUnknown        Reason = "lease_unknown"
	ReasonLeaseUnreadable     Reason = "lease_unreadable"
	ReasonNotOwner            Reason = "not_owner"
	ReasonPeerUnreachable     Reason = "peer_unreachable"
	ReasonControlLost         Reason = "control_lost"
	ReasonControlConflict     Reason = "control_conflict"
	ReasonClusterUnreachable  Reason = "cluster_unreachable"
	ReasonClusterNotReady     Reason = "cluster_not_ready"
	ReasonSpecInvalid         Reason = "spec_invalid"
	ReasonSpecIncompatible    Reason = "spec_incompatible"
	ReasonSchemaUnknown       Reason = "schema_unknown"
	ReasonTokenUnknown        Reason = "token_unknown"
	ReasonConfigInvalid       Reason = "config_invalid"
	ReasonPortTaken           Reason = "port_taken"
	ReasonServerUnreachable   Reason = "server_unreachable"
	ReasonConfirmationNeeded  Reason = "confirmation_needed"
	ReasonDataLocked          Reason = "data_locked"
	ReasonDatabaseUnreachable Reason = "database_unreachable"
	ReasonDatabaseRefused     Reason = "database_refused"
	ReasonOutboxInvalid       Reason = "outbox_invalid"
	ReasonSinkInvalid         Reason = "sink_invalid"
	ReasonSinkDrift           Reason = "sink_drift"
)

// ReasonInfo explains a reason.
type ReasonInfo struct {
	Reason    Reason
	Code      Code
	Retriable bool
	Title     string // one sentence
	Hint      string // what to do next
}

// Info returns the explanation of a reason; of one that does not exist, that of ReasonInternal.
func (r Reason) Info() ReasonInfo {
	i, ok := reasonIndex[r]
	if !ok {
		i = reasonIndex[ReasonInternal]
	}
	return reasons[i]
}

// Reasons lists all reasons in the order of the documentation.
func Reasons() []ReasonInfo { return append([]ReasonInfo(nil), reasons...) }

var reasonIndex = func() map[Reason]int {
	m := make(map[Reason]int, len(reasons))
	for i, r := range reasons {
		m[r.Reason] = i
	}
	return m
}()

// One row per reason; docs/reference/errors.md is generated from it. Never change or reuse a slug.
var reasons = []ReasonInfo{
	{ReasonTypeUnknown, NotFound, false, "No spec declares this event type.",
		"Check the name, or add its spec and push it."},
	{ReasonTypeInvalid, InvalidArgument, false, "The event type's name is not legal.",
		"Use segment(.segment){1,4}.vN with segments [a-z][a-z0-9-]*, such as orders.order.placed.v1."},
	{ReasonTypeReserved, InvalidArgument, false, "The name belongs to the bus itself.",
		"Choose a name that does not begin with dlq, retry, park or an underscore."},
	{ReasonTypeUnreadable, Unavailable, true, "What is stored of it was written by a newer version.",
		"Upgrade this instance, or send to one that runs the newer version."},
	{ReasonEventInvalid, InvalidArgument, false, "The event is not a valid CloudEvent.",
		"Send the attributes specversion, id, source and type as CloudEvents 1.0 says."},
	{ReasonDataInvalid, InvalidArgument, false, "The data does not match the type's schema.",
		"Mend the fields that errors points at; the schema is at GET /v1/types/{type}."},
	{ReasonDataUnreadable, InvalidArgument, false, "The data is not readable JSON.",
		"Send UTF-8 JSON without duplicate keys, nested at most 64 deep."},
	{ReasonContentType, InvalidArgument, false, "The type takes data of another content type.",
		"Send content type application/json."},
	{ReasonEventTooLarge, InvalidArgument, false, "The event is too large.",
		"Keep data, key and attributes under the type's limit; store large content elsewhere and send its address."},
	{ReasonHeaderTooLarge, InvalidArgument, false, "An attribute is too long or there are too many.",
		"Keep each attribute under 4 KiB and at most 64 extensions; put the rest into the data."},
	{ReasonHeaderReserved, InvalidArgument, false, "Attributes that begin with autobus are set by the bus alone.",
		"Leave the attribute away or rename it."},
	{ReasonKeyMissing, InvalidArgument, false, "The field that the spec names as partition key is missing or null.",
		"Send the field; it decides the order in which events are read."},
	{ReasonKeyMismatch, InvalidArgument, false, "partitionkey differs from the field the spec names as key.",
		"Leave partitionkey away; the bus takes the key from the data."},
	{ReasonKeyTooLarge, InvalidArgument, false, "The partition key is over 1 KiB.",
		"Use a short identifier as key."},
	{ReasonIDConflict, AlreadyExists, false, "Another event was published under this source and id.",
		"Use a new id for other content."},
	{ReasonPredecessorFailed, Aborted, true, "An earlier event of the same key was not written.",
		"Send the failed event again first, then this one."},
	{ReasonNotDurable, FailedPrecondition, true, "The type's topic is weaker than the bus promises.",
		"Give the topic 3 replicas, min.insync.replicas 2 and no unclean election, or say x-durability: best-effort."},
	{ReasonRouteMismatch, FailedPrecondition, true, "The topic does not look as the type's route says.",
		"Somebody changed the topic outside the bus; GET /v1/status says what differs."},
	{ReasonCapacity, Unavailable, true, "This instance has no room for it at this moment.",
		"Try again after retry_after; the brokers do not take events as fast as they come."},
	{ReasonStorageFull, Unavailable, true, "The embedded broker's folder reached its byte budget or the disk is full.",
		"Make room, raise the budget, or shorten retention; unread events are not deleted."},
	{ReasonOutcomeUnknown, DeadlineExceeded, true, "The brokers did not answer in time; the event may still be written.",
		"Send it again under the same id."},
	{ReasonForbidden, PermissionDenied, false, "No grant allows this.",
		"Ask the platform team for a token whose grants cover it."},
	{ReasonReplyAddress, InvalidArgument, false, "The reply address is not one that the bus gave the sender.",
		"Open an inbox and use its address; a reply goes to the replyto of the request, exactly as it was delivered."},
	{ReasonNoResponder, Unavailable, true, "No subscription serves the type.",
		"Start the service that answers it; a subscription serves a type that its policy names in full."},
	{ReasonDeadlinePassed, InvalidArgument, false, "The deadline of the request is over.",
		"Send it with an expirytime that is still to come; check the clock of this machine."},

	{ReasonReplyTimeout, DeadlineExceeded, true, "No reply came in time; the request may still be worked on.",
		"Fetch the answer where Location says, or ask again under the same id."},
	{ReasonResponderFailed, Unavailable, false, "The service that got the request could not answer it.",
		"See detail; tell the owner of the service."},
	{ReasonRequestUnknown, NotFound, false, "There is no such request of yours, or its replies are no longer kept.",
		"Use the URL of Location exactly as it was given; replies are kept for 15 minutes."},
	{ReasonCommandTaken, AlreadyExists, false, "Another subscription handles the command.",
		"A command has one handling service. To look on, tail it or subscribe by a pattern."},
	{ReasonHTTPUnsupported, Unimplemented, false, "The HTTP exchange cannot pass over the bus.",
		"Upgrades, tunnels, trailers and bodies over the event limit need a direct connection."},
	{ReasonScheduleInvalid, InvalidArgument, false, "The event cannot be scheduled for that time.",
		"Send a time from now on, at most 180 days away, as deliver_at, delay or the extension deliverat; only one of them."},

	{ReasonUnauthenticated, Unauthenticated, false, "The request carries no valid token.",
		"Send Authorization: Bearer <token>."},
	{ReasonOriginForbidden, PermissionDenied, false, "The Host or Origin header is not this server's.",
		"In dev, use the address of the banner; browsers of other origins are refused."},
	{ReasonRequestInvalid, InvalidArgument, false, "The request's parameters are wrong.",
		"Mend the parameter that detail names."},
	{ReasonBodyUnreadable, InvalidArgument, false, "The request's body cannot be read.",
		"Send the body that the content type promises."},
	{ReasonBatchTooLarge, InvalidArgument, false, "The request is too large.",
		"Send at most 1000 events and 8 MiB at once, or stream NDJSON."},
	{ReasonBatchInFlight, FailedPrecondition, false, "The batch is still in flight.",
		"Wait for all its receipts before using it again."},
	{ReasonModeInvalid, InvalidArgument, false, "There is no such mode.",
		"Use mode=independent or mode=ordered."},
	{ReasonFilterInvalid, InvalidArgument, false, "The filter is not a valid CEL expression.",
		"It must give true or false over data, id, source, type, subject, time, key, ext and params."},
	{ReasonFrameInvalid, InvalidArgument, false, "The frame cannot be read.",
		"Send frames with one JSON object whose op is one of the protocol's."},
	{ReasonMediaType, InvalidArgument, false, "The content type is not one of this path's.",
		"See hint or the documentation of the path."},
	{ReasonMethodNotAllowed, InvalidArgument, false, "The path exists, the method does not.",
		"Use one of the methods in the Allow header."},
	{ReasonPathUnknown, NotFound, false, "There is no such path.",
		"The API begins at /v1; GET /v1/status tells how the bus is."},
	{ReasonQuota, ResourceExhausted, true, "The principal's quota is used up.",
		"Slow down; try again after retry_after."},
	{ReasonSlowConsumer, ResourceExhausted, true, "The reader made no progress for 60 s.",
		"Read faster, filter more narrowly, or use a subscription."},
	{ReasonPositionLost, FailedPrecondition, false, "Retention deleted events before they were read.",
		"Begin again from earliest; raise the type's retention."},
	{ReasonStarting, Unavailable, true, "This instance is not ready yet.",
		"Wait until /readyz answers 200; the log says what it waits for."},
	{ReasonShuttingDown, Unavailable, true, "This instance is going down.",
		"Connect again; another instance takes over."},
	{ReasonUnimplemented, Unimplemented, false, "The bus does not offer this.",
		"See the documentation of the path."},
	{ReasonInternal, Internal, false, "A fault of the bus.",
		"Tell the platform team the request id."},

	{ReasonSubscriptionUnknown, NotFound, false, "There is no such subscription.",
		"Check the name. PUT /v1/subscriptions/{name} makes it, or its worker, by create (in Go: Worker.Create)."},
	{ReasonDeadLetterUnknown, NotFound, false, "The subscription has no dead letter of this number, or no longer.",
		"List them: autobus dlq list NAME. They are kept as long as the topic's retention says."},
	{ReasonJobUnknown, NotFound, false, "There is no such job, or no longer.",
		"List them: autobus job list. A job is known as long as some of its dead letters are kept."},
	{ReasonTooManyJobs, ResourceExhausted, false, "The subscription has too many jobs whose dead letters are still kept.",
		"Choose more letters at a time: by fingerprint, by filter, or all."},
	{ReasonScheduleUnknown, NotFound, false, "There is no such schedule, or it is somebody else's.",
		"Use the id as the publish answered it, or autobus schedules list; others' schedules take the grant manage."},
	{ReasonScheduleDue, FailedPrecondition, false, "It is too late to cancel the schedule.",
		"The event is being published, or was; publish another one that takes it back."},
	{ReasonSubscriptionInvalid, InvalidArgument, false, "The subscription's name or policy is wrong.",
		"Mend the field that detail names."},
	{ReasonSubscriptionExists, AlreadyExists, false, "A subscription of this name exists with another policy.",
		"Choose another name, or change the subscription by PUT /v1/subscriptions/{name}."},
	{ReasonPositionInvalid, InvalidArgument, false, "A subscription cannot stand or be sent there.",
		"Name a place that the log has: autobus offsets show NAME tells where each partition begins and ends."},
	{ReasonEventDone, FailedPrecondition, false, "The event is done already, or does not wait for an operator.",
		"autobus offsets show NAME and autobus dlq list NAME tell what became of it; replay sends it again."},
	{ReasonRangeExpired, FailedPrecondition, false, "Retention deleted events of that range.",
		"Begin where the log begins; detail says since when it has events."},
	{ReasonManagedBySpec, FailedPrecondition, false, "The subscription is declared in services/*.yaml.",
		"Change it there and push the specs."},
	{ReasonSessionUnknown, NotFound, false, "No open stream has this session.",
		"Its connection ended already; without peer_secret_file another instance may have it."},
	{ReasonOutcomeInvalid, InvalidArgument, false, "The outcome of a delivery is not one.",
		"Use ack, retry, skip, reject or extend; a delay goes with retry alone."},
	{ReasonLeaseStale, FailedPrecondition, false, "The lease was already settled or taken away.",
		"Stop working on the event; it is somebody else's now."},
	{ReasonLeaseUnknown, InvalidArgument, false, "The lease was not given by this bus or belongs to another subscription.",
		"Settle with the lease exactly as it was delivered."},
	{ReasonLeaseUnreadable, Unavailable, true, "The lease was given by an instance of a newer version.",
		"Settle again, through an instance of that version; if none comes, the event comes again."},
	{ReasonNotOwner, Unavailable, true, "The instance has none of the subscription's partitions.",
		"Instances ask each other; this one finds the owner by itself. Try again."},
	{ReasonPeerUnreachable, Unavailable, true, "Another instance, which has what this is about, does not answer.",
		"Try again; if the instance is gone, the events that it gave come again."},
	{ReasonControlLost, FailedPrecondition, false, "The cluster has event topics but no control log.",
		"Restore the control log, or run autobus cluster init on a cluster without event topics."},
	{ReasonControlConflict, Aborted, true, "Somebody else changed the same thing first.",
		"Read it again and repeat the change."},
	{ReasonClusterUnreachable, Unavailable, true, "The Kafka cluster does not answer.",
		"Check the addresses and that the brokers are up."},
	{ReasonClusterNotReady, FailedPrecondition, false, "The Kafka cluster is not prepared for the bus.",
		"Run autobus cluster init, then autobus cluster check."},
	{ReasonSpecInvalid, InvalidArgument, false, "A spec cannot be used.",
		"Mend the places named; the specs in force before stay in force."},
	{ReasonSpecIncompatible, FailedPrecondition, false, "Specs would break who reads or writes by those in force.",
		"Take the change back, or make a new type of the next major; a step back to older specs takes force."},
	{ReasonSchemaUnknown, NotFound, false, "There is no such schema of this event type.",
		"Leave version away for the schema in force; GET /schema-registry/subjects/TYPE-value/versions lists all."},
	{ReasonTokenUnknown, NotFound, false, "There is no such token.",
		"See autobus token list."},
	{ReasonConfigInvalid, InvalidArgument, false, "The configuration is wrong.",
		"Mend the lines named; docs/reference/config.md lists every key."},
	{ReasonPortTaken, FailedPrecondition, false, "The port is taken by another process.",
		"Stop that process or choose another port."},
	{ReasonServerUnreachable, Unavailable, true, "The bus does not answer.",
		"Check --server or AUTOBUS_SERVER, and that autobus runs there."},
	{ReasonConfirmationNeeded, FailedPrecondition, false, "The change was not confirmed; nothing was changed.",
		"Run the command on a terminal, or with --yes."},
	{ReasonDataLocked, FailedPrecondition, false, "Another process uses the data folder.",
		"Stop it, or choose another folder with --data."},
	{ReasonDatabaseUnreachable, Unavailable, true, "The database does not answer.",
		"Check its address and that it is up."},
	{ReasonDatabaseRefused, FailedPrecondition, false, "The database refuses what is asked of it.",
		"Detail has the database's own words and SQLSTATE; check the user, his rights and the database's name."},
	{ReasonOutboxInvalid, FailedPrecondition, false, "The outbox's table is missing or of another form.",
		"Make it with what autobus outbox ddl prints."},
	{ReasonSinkInvalid, InvalidArgument, false, "A sink cannot work as its file says.",
		"Run autobus sink plan FILE and mend what it names; nothing was written."},
	{ReasonSinkDrift, FailedPrecondition, false, "Too many events do not fit a sink's table; it stopped before them.",
		"Compare the table and the sink's file with the spec: autobus sink plan FILE. Started again, it goes on from there."},
}
