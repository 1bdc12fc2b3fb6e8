/* The protocol by which nodes claim, verify, release and lose PodBlocks, for the model checker spin: tests/model/run.

   What is modelled
     One block, two hosts (HOSTS): PAIR, two Nodes; HEIR, two machines that bear one node name in turn; CLONE, two
     Nodes with one machine ID; TRIO, all of that with three hosts. Claim IDs and uids are drawn afresh each time.
     Every request is one step at the API server and its answer a second one at the host, so anything happens between
     them; an answer may be lost (the same as a crash: what is not in the store is forgotten), a request may never
     arrive, and may arrive after its sender gave up, at any time, whatever the sender did since (`late`; one at a
     time in all, with LATE_BOTH one of each host). The sender sends again: that is the duplicate.
     Faults, FAULTS of them in any order: the store wiped while pods live on; the host dead for good; cut off from the
     API; rebooted; its Node deleted; its Node taken over by another machine (HEIR, TRIO); an administrator deletes
     the block, or takes its finalizer away too (force). A Node comes back whenever its host can reach the API.
     Time: a tick is a quarter of reapGrace. A connected host verifies once in a tick, adopts what the list shows,
     receives answers or gives up; its kubelet ends the pods of a Node that is deleted (with NO_KILL it
     does not, as with static pods, but the timer resolves claiming rows too, without which no_clash would break);
     the reaper, once in a tick, sees a Node that is back. A host that is cut off does none of it and may be
     stopped for long between an answer and its commit.
   What is left out
     Other blocks: nothing in the protocol looks at two at once (blocks of one host share only what is free to change
     at any time here). Addresses: a host has known pods (`pod`) or pods its store does not know (`stray`).
     resourceVersion, but for the reaper's: preconditions on it only refuse more. Pools, paused, 403 and 422.
     Clocks run evenly. claim.lock holds: a host has one request under way.

   Actions, in the words of the protocol
     node_host 1st     "Store: row (cidr, claimID random, state claiming), committed"
     step/CLAIMING     "CREATE. 201 -> mine"; again and again with the same claimID "until 201 or 409"
     step/CONFLICT     "409 -> GET"; MY_CLAIM "same claimID -> mine"; MY_NODE "from a lost store: adopted";
                       FOREIGN "drop the row, next candidate", but a row with leases becomes lost
     step/NONE, LOST   "all own blocks are found by the list too"
     step/OWNED        verification: SAME, ABSENT "claiming with a new claimID (leases stay)", MY_CLAIM "uid taken
                       over", FOREIGN "lost"; a dying block: DRAINING; it takes the reaper's mark away
     RELEASING         "DELETE with preconditions uid; PATCH away the finalizer; drop the row"; so ends a draining row too
     reaper_plans/acts what the reaper read, and what it then does to that very version: DELETE, mark, free

   Properties
     one_lessor  no two hosts may lease from the block at once
     no_clash    no host may lease while another has pods in it
     no_double   no host may lease while it has pods there that its store does not know
     awaited     a CREATE never lands late unless the row still has its claimID, its fate was known, or the store is lost
     resolved    } whenever faults end and messages arrive: no row stays claiming or releasing,
     not_lost    } and the block is gone, or its owner's row knows it and it is not dying without pods
     The first two are excused after a forced removal until the host learns of it, and no_clash for the pods of a
     host that was cut off and without its Node for reapGrace less the verification interval (LONG).
     The end of faults is played by one fair schedule (quiet) from every reachable state.

   Mutants (each must break a property)
     FORGETS_ON_TIMEOUT NEW_CLAIM_ID NO_GRACE UNVERIFIED NO_QUARANTINE NO_UID ADOPT_BY_MACHINE
     and holes of an earlier wording, mended here:
     W_VETO          the reaper spares a block while any Node has its nodeUID or machineID. Mended: it asks only whether
                     the Node of the block's name is there with the block's machineID
     W_STILL_SO      the finalizer goes reapGrace after deletionTimestamp if the Node is gone then. Mended: reapGrace
                     after the reaper's own mark on a dying block, which goes when the Node is seen or the holder verifies
     W_DYING_CLAIM   409, same claimID: mine, though the object is dying (breaks one_lessor together with W_STILL_SO)
     W_RECEIPT       verified from the time of the answer. Mended: of the request
     W_FINAL_UID     the PATCH of the finalizer has no uid precondition
     W_RELEASE_UNSEEN  an adopted block is released before the machine was looked through
     W_QUARANTINE_ADOPTED  only adopted blocks are quarantined, not those that a wiped store claims with 201
     W_DROP          409 of another's drops a row that has leases
     W_LIST          own blocks without a row are adopted only by a node with a lost store

   To see a counterexample: spin -D... -a claim.pml; gcc -DSAFETY -DBFS pan.c -o pan; ./pan -E; spin -D... -t -p -g claim.pml */

#ifndef HOSTS
#define HOSTS PAIR
#endif
#ifndef FAULTS
#define FAULTS 3
#endif
#define PAIR 1
#define HEIR 2
#define CLONE 3
#define TRIO 4
#if HOSTS == TRIO
#define N 3
#define NAME(h) ((h) == 1)
#define MACHINE(h) (1 + ((h) == 2))
#elif HOSTS == PAIR
#define N 2
#define NAME(h) (h)
#define MACHINE(h) (1 + (h))
#elif HOSTS == HEIR
#define N 2
#define NAME(h) 0
#define MACHINE(h) (1 + (h))
#else
#define N 2
#define NAME(h) (h)
#define MACHINE(h) 1
#endif

#define GRACE 4
#define HALF 2
#define OLD 3
#define LONG 3 /* GRACE less the time between two verifications */
#define IDS 8

/* The PodBlock as the API server has it. */
bit here, held = 0, dying, marked, noted;
byte owner, claim, age;
bit node_uid; /* spec.nodeUID is still that of a Node */

/* Node objects, by name: 0 absent, else 1 + the host that it speaks for. */
byte node[2];

/* What the reaper means to do to the very version of the block that it read. */
#define DELETE_IT 1
#define MARK_IT 2
#define FREE_IT 3
byte plan;

#define NONE 0
#define CLAIMING 1
#define OWNED 2
#define DRAINING 3
#define RELEASING 4
#define LOST 5

#define CREATED 1
#define CONFLICT 2
#define ABSENT 3
#define SAME 4
#define MY_CLAIM 5
#define MY_NODE 6
#define FOREIGN 7
#define DELETED 8
#define GONE 9

#define LATE_CREATE 1
#define LATE_DELETE 2
#define LATE_FINAL 3

typedef Host {
  byte row, claim, seen;
  bit uid, looked, pod, stray;
  byte answer, a_claim, a_age;
  bit a_uid, a_dying;
  byte late, late_id;
  bit late_known;
  bit cut, dead;
  byte alone;
  bit forced, excused;
}
Host host[N];
bit stop;
/* Names for the text of a failed assertion; the value of the last two and of awaited is never anything but 0. */
bit one_lessor = 1, no_clash = 1, no_double = 1;
bit awaited, resolved, not_lost;
byte q_h, q_round, q_step;
byte faults = FAULTS;

#ifndef LATE_BOTH
#define MAY_BE_LATE (host[0].late == 0 && host[1].late == 0 && host[N - 1].late == 0)
#else
#define MAY_BE_LATE true
#endif


#define H host[h]
#define SPOKEN(h) (node[NAME(h)] == 1 + (h))

#ifdef UNVERIFIED
#define FRESH(h) true
#else
#define FRESH(h) (host[h].seen <= HALF)
#endif
#ifdef NO_QUARANTINE
#define LOOKED(h) true
#else
#define LOOKED(h) host[h].looked
#endif
#define LEASES(h) (host[h].row == OWNED && FRESH(h) && LOOKED(h))
#define USES(h) (host[h].pod || host[h].stray)

#ifdef ADOPT_BY_MACHINE
#define ADOPTS(h, o) (MACHINE(h) == MACHINE(o))
#else
#define ADOPTS(h, o) (NAME(h) == NAME(o) && MACHINE(h) == MACHINE(o))
#endif

#ifdef W_VETO
#define SEEN_AS(o, n) (node[n] != 0 && MACHINE(node[n] - 1) == MACHINE(o))
#define NODE_GONE(o) (!node_uid && !SEEN_AS(o, 0) && !SEEN_AS(o, 1))
#else
#define NODE_GONE(o) (node[NAME(o)] == 0 || MACHINE(node[NAME(o)] - 1) != MACHINE(o))
#endif

#ifdef NO_GRACE
#define RIPE true
#else
#define RIPE (age >= GRACE)
#endif

byte j, k, h_;
byte c_row, c_here, c_late, c_answer;

/* Claim IDs matter only as equal or not, and only within a host: they are numbered anew in the order
   row, object, late CREATE, answer, and one that nothing can meet again becomes 0. */
inline number(o_) {
  c_row = host[o_].claim; c_here = (here && owner == o_ -> claim : 0);
  c_late = (host[o_].late == LATE_CREATE -> host[o_].late_id : 0); c_answer = host[o_].a_claim;
  if
  :: host[o_].row != CLAIMING && c_row != 0 && c_row != c_here && c_row != c_late && c_row != c_answer -> host[o_].claim = 0; c_row = 0; k = 0
  :: c_row == 0 -> k = 0
  :: else -> host[o_].claim = 1; k = 1
  fi;
  if
  :: c_here == 0
  :: c_here != 0 && c_here == c_row -> claim = 1
  :: else -> k++; claim = k
  fi;
  if
  :: c_late == 0
  :: c_late != 0 && c_late == c_row -> host[o_].late_id = 1
  :: c_late != 0 && c_late != c_row && c_late == c_here -> host[o_].late_id = claim
  :: else -> k++; host[o_].late_id = k
  fi;
  if
  :: c_answer == 0
  :: c_answer != 0 && c_answer == c_row -> host[o_].a_claim = 1
  :: c_answer != 0 && c_answer != c_row && c_answer == c_here -> host[o_].a_claim = claim
  :: c_answer != 0 && c_answer != c_row && c_answer != c_here && c_answer == c_late -> host[o_].a_claim = host[o_].late_id
  :: else -> k++; host[o_].a_claim = k
  fi;
  c_row = 0; c_here = 0; c_late = 0; c_answer = 0; k = 0
}

inline fresh_claim(o_) { host[o_].claim = IDS; host[o_].row = CLAIMING; number(o_) }

#ifdef NO_UID
#define UID_IS(u) true
#else
#define UID_IS(u) (u)
#endif

#if defined(NO_UID) || defined(W_FINAL_UID)
#define FINAL_UID_IS(u) true
#define FINAL_WHEN (dying || held)
#define NO_LATE(o_) skip
#else
#define FINAL_UID_IS(u) (u)
#define FINAL_WHEN dying
#define NO_LATE(o_) host[o_].late = 0
#endif

inline vanish() {
  here = 0; owner = 0; claim = 0; h_ = 0;
  do
  :: h_ < N ->
     host[h_].uid = 0; host[h_].a_uid = 0;
     if
     :: host[h_].late > LATE_CREATE -> host[h_].late_id = 0; NO_LATE(h_)
     :: else
     fi;
     number(h_);
     h_++
  :: else -> break
  od;
  h_ = 0; dying = 0; marked = 0; age = 0; held = 0; node_uid = 0; plan = 0
}

inline server_create(o_, c_) {
  here = 1; owner = o_; claim = c_; dying = 0; marked = 0; age = 0; held = 1; plan = 0;
#ifdef W_VETO
  node_uid = SPOKEN(o_);
#endif
  number(o_)
}

inline server_delete() {
  plan = 0;
  if
  :: !held -> vanish()
  :: else ->
#ifdef W_STILL_SO
     if
     :: !dying -> marked = 1; age = 0
     :: else
     fi;
#endif
     dying = 1
  fi
}

inline server_final(o_, u_) {
  if
  :: here && NAME(owner) == NAME(o_) && FINAL_UID_IS(u_) && FINAL_WHEN ->
     if
     :: dying -> vanish()
     :: else -> held = 0; plan = 0
     fi
  :: else
  fi
}

inline forget_answer(h) {
  H.answer = 0; H.a_claim = 0; H.a_uid = 0; H.a_age = 0; H.a_dying = 0; number(h)
}

/* GET, and the PATCH of status that takes the reaper's mark away. */
inline get(h) {
  H.a_age = 0;
  if
  :: !here -> H.answer = ABSENT
  :: here && H.uid -> H.answer = SAME; H.a_uid = 1
  :: here && !(H.uid) && owner == h && H.claim == claim -> H.answer = MY_CLAIM; H.a_uid = 1
  :: here && !(H.uid) && !(owner == h && H.claim == claim) && ADOPTS(h, owner) -> H.answer = MY_NODE; H.a_uid = 1; H.a_claim = claim
  :: else -> H.answer = FOREIGN
  fi;
  if
  :: here -> H.a_dying = dying
  :: else
  fi;
#ifndef W_STILL_SO
  if
  :: here && owner == h && marked -> marked = 0; age = 0; plan = 0
  :: else
  fi
#endif
}

inline settle_late(h) {
  if
  :: H.late == LATE_CREATE && H.late_id == H.claim -> H.late_known = 1
  :: else
  fi
}

#ifdef W_RECEIPT
#define STAMP 0
#else
#define STAMP H.a_age
#endif

inline keep(h) {
  H.row = (H.a_dying -> DRAINING : OWNED); H.seen = (H.a_dying && STAMP > 1 -> 1 : STAMP); H.forced = H.forced && !H.a_uid; H.excused = H.excused && !H.a_uid
}

inline not_mine(h) {
  H.claim = 0; H.uid = 0; H.seen = 0;
#ifdef W_DROP
  H.row = NONE; H.stray = H.stray || H.pod; H.pod = 0
#else
  H.row = (H.pod -> LOST : NONE)
#endif
}

inline step(h) {
  if
  /* What the node asks. */
  :: H.answer == 0 && (H.row == NONE || H.row == LOST) -> get(h); if :: H.answer != MY_NODE -> forget_answer(h) :: else fi
  :: H.answer == 0 && H.row == CLAIMING ->
     if
     :: !here -> server_create(h, H.claim); H.answer = CREATED; H.a_uid = 1
     :: else -> H.answer = CONFLICT
     fi
  :: H.answer == CONFLICT -> settle_late(h); get(h)
  :: H.answer == 0 && (H.row == OWNED || H.row == DRAINING) -> get(h)
  :: H.answer == 0 && H.row == RELEASING ->
     if
     :: here && UID_IS(H.uid) && NAME(owner) == NAME(h) -> server_delete(); H.answer = DELETED
     :: else -> H.answer = GONE
     fi
  :: H.answer == DELETED -> server_final(h, H.uid); H.answer = GONE
  /* What it makes of the answer: one transaction of its store. */
  :: H.answer == CREATED -> settle_late(h); H.uid = H.a_uid; keep(h);
#ifdef W_QUARANTINE_ADOPTED
     H.looked = 1;
#endif
     forget_answer(h)
  :: H.answer == ABSENT ->
     if
     :: H.row == CLAIMING -> skip
     :: H.row == DRAINING && !H.pod -> H.row = RELEASING
     :: else -> if :: H.row == OWNED || H.row == DRAINING -> H.uid = 0; H.seen = 0; fresh_claim(h) :: else fi
     fi;
     forget_answer(h)
  :: H.answer == SAME -> keep(h); forget_answer(h)
  :: H.answer == MY_CLAIM -> settle_late(h); H.uid = H.a_uid;
#ifdef W_DYING_CLAIM
     H.a_dying = 0;
#endif
     keep(h); forget_answer(h)
  :: H.answer == MY_NODE -> settle_late(h); H.uid = H.a_uid; H.claim = H.a_claim; keep(h); forget_answer(h)
  :: H.answer == FOREIGN -> settle_late(h); not_mine(h); forget_answer(h)
  :: H.answer == GONE -> H.row = (H.pod -> LOST : NONE); H.claim = 0; H.uid = 0; H.seen = 0; forget_answer(h)
  :: else
  fi
}

#define ASKS(h) (host[h].answer == 0 || host[h].answer == CONFLICT || host[h].answer == DELETED)
#define WILL_ADOPT(h) ((host[h].row == NONE || host[h].row == LOST) && here && ADOPTS(h, owner))

#ifdef W_LIST
#define LISTS(h) (WILL_ADOPT(h) && !host[h].looked)
#else
#define LISTS(h) WILL_ADOPT(h)
#endif
#ifdef W_RELEASE_UNSEEN
#define SEEN_THROUGH(h) true
#else
#define SEEN_THROUGH(h) LOOKED(h)
#endif

inline lose_answer(h) {
  forget_answer(h)
}

inline die(h) {
  forget_answer(h);
  H.row = NONE; H.claim = 0; H.uid = 0; H.seen = 0;
  H.late_known = (H.late == LATE_CREATE); number(h)
}

proctype node_host(byte h) provided (!stop) {
  do
  :: d_step { !H.dead && H.row == NONE && H.answer == 0 && !H.cut && SPOKEN(h) -> fresh_claim(h) }
  :: d_step { !H.dead && (H.answer != 0 || H.row == CLAIMING || H.row == OWNED || H.row == DRAINING || H.row == RELEASING || LISTS(h)) && (!H.cut || !ASKS(h)) -> 
#ifdef FORGETS_ON_TIMEOUT
      if
      :: H.answer == 0 && H.row == CLAIMING && H.late == LATE_CREATE && H.late_id == H.claim && !here -> H.row = NONE; H.claim = 0
      :: else -> step(h)
      fi
#elif defined(NEW_CLAIM_ID)
      if
      :: H.answer == 0 && H.row == CLAIMING && H.late == LATE_CREATE && H.late_id == H.claim -> fresh_claim(h)
      :: else -> step(h)
      fi
#else
      step(h)
#endif
      }
  :: d_step { H.answer != 0 -> lose_answer(h) }
  :: d_step { MAY_BE_LATE && !H.cut && H.late == 0 && H.answer == 0 && H.row == CLAIMING -> H.late = LATE_CREATE; H.late_id = H.claim; H.late_known = 0 }
  :: d_step { MAY_BE_LATE && !H.cut && H.late == 0 && H.answer == 0 && H.row == RELEASING && UID_IS(H.uid) -> H.late = LATE_DELETE; H.late_id = H.uid }
  :: d_step { MAY_BE_LATE && !H.cut && H.late == 0 && H.answer == DELETED && FINAL_UID_IS(H.uid) -> H.late = LATE_FINAL; H.late_id = H.uid; forget_answer(h) }
  :: d_step { H.row == LOST && !H.pod && H.answer == 0 -> H.row = NONE }
  :: d_step { !H.pod && H.answer == 0 && (H.row == OWNED || H.row == DRAINING) && SEEN_THROUGH(h) -> H.row = RELEASING; H.seen = 0 }
  :: d_step { LEASES(h) && !H.pod -> H.pod = 1 }
  :: d_step { H.pod -> H.pod = 0 }
  :: d_step { H.stray -> H.stray = 0 }
  :: d_step { !H.looked -> H.looked = 1; H.pod = H.pod || H.stray; H.stray = 0 }
  /* faults of the host */
  :: d_step { H.seen != OLD && H.row == OWNED && faults > 0 -> faults--; H.pod = 0; H.stray = 0; H.seen = OLD; forget_answer(h) }
  :: d_step { !H.dead && (H.row != NONE || H.pod) && faults > 0 -> faults--; die(h); H.stray = H.stray || H.pod; H.pod = 0; H.looked = 0 }
  :: d_step { !H.dead && faults > 0 -> faults--; die(h); H.forced = 0; H.excused = 0; H.alone = 0; H.dead = 1; H.pod = 0; H.stray = 0; H.looked = 1; H.cut = 1 }
  :: d_step { !H.dead && !H.cut && faults > 0 -> faults--; H.cut = 1 }
  :: d_step { !H.dead && H.cut -> H.cut = 0 }
  :: d_step { !H.dead && !H.cut && node[NAME(h)] == 0 -> node[NAME(h)] = 1 + h }
#if HOSTS == HEIR || HOSTS == TRIO
  /* Another machine takes over the Node object that is there. */
  :: d_step { !H.dead && !H.cut && node[NAME(h)] != 0 && !SPOKEN(h) && faults > 0 -> faults--; node[NAME(h)] = 1 + h }
#endif
  od
}

inline late_lands(h) {
  if
  :: H.late == LATE_CREATE && !here ->
     assert(awaited || H.late_known || (H.row != NONE && H.claim == H.late_id));
     server_create(h, H.late_id)
  :: H.late == LATE_DELETE && here && UID_IS(H.late_id) && NAME(owner) == NAME(h) -> server_delete()
  :: H.late == LATE_FINAL -> server_final(h, H.late_id)
  :: else
  fi;
  H.late = 0; H.late_id = 0; H.late_known = 0; number(h)
}

inline reaper_plans() {
  if
  :: !dying -> plan = DELETE_IT
  :: dying && !marked -> marked = 1; age = 0
  :: dying && marked && RIPE -> plan = FREE_IT
  :: else
  fi
}

inline reaper_acts() {
  if
  :: plan == DELETE_IT -> server_delete()
  :: plan == FREE_IT -> 
     if
     :: host[owner].alone >= LONG && USES(owner) -> host[owner].excused = 1
     :: else
     fi;
     vanish()
  :: else
  fi
}

inline force() {
  j = 0;
  do
  :: j < N -> host[j].forced = host[j].forced || host[j].row != NONE || host[j].answer != 0 || USES(j); j++
  :: else -> break
  od;
  j = 0;
  vanish()
}

inline pass_time() {
  if
  :: marked && age < GRACE -> age++
  :: else
  fi;
  j = 0;
  do
  :: j < N ->
     if
     :: (host[j].seen < OLD && host[j].row == OWNED) || (host[j].seen < 1 && host[j].row == DRAINING) -> host[j].seen++
     :: else
     fi;
     if
     :: (host[j].answer == CREATED || (host[j].answer >= SAME && host[j].answer <= MY_NODE)) && host[j].a_age < OLD -> host[j].a_age++
     :: else
     fi;
     if
     :: SPOKEN(j) || !host[j].cut || host[j].dead || !here || owner != j -> host[j].alone = 0
     :: else -> host[j].alone = (host[j].alone < LONG -> host[j].alone + 1 : LONG)
     fi;
     if
     :: host[j].row == NONE && host[j].answer == 0 && !USES(j) -> host[j].forced = 0; host[j].excused = 0
     :: else
     fi;
     j++
  :: else -> break
  od;
  j = 0
}

/* A connected host does in time what its timer and its kubelet do. */
#ifdef NO_KILL
#define PODS_ENDED(h) true
#define RESENT(h) (host[h].row != CLAIMING)
#else
#define RESENT(h) true
#define PODS_ENDED(h) (SPOKEN(h) || !USES(h))
#endif
#define IN_TIME(h) (host[h].cut || host[h].dead || (PODS_ENDED(h) && host[h].answer == 0 && RESENT(h) && !((host[h].row == OWNED || host[h].row == DRAINING) && host[h].seen > 0) && !WILL_ADOPT(h)))
#ifdef W_STILL_SO
#define REAPER_IN_TIME true
#else
#define REAPER_IN_TIME !(here && marked && !NODE_GONE(owner))
#endif
#if N == 3
#define ALL_IN_TIME (IN_TIME(0) && IN_TIME(1) && IN_TIME(2))
#else
#define ALL_IN_TIME (IN_TIME(0) && IN_TIME(1))
#endif

#define TWO(a, b) (LEASES(a) && LEASES(b) && !host[a].forced && !host[b].forced)
#define CLASH(a, b) (LEASES(a) && USES(b) && !host[a].forced && !host[b].forced && !host[b].excused)
#define BLIND(a) (LEASES(a) && host[a].stray)

#ifdef W_VETO
#define NEW_NODE_UID(n) if :: here && NAME(owner) == n -> node_uid = 0 :: else fi
#else
#define NEW_NODE_UID(n) skip
#endif

/* From here on nothing fails: every message arrives, dead hosts' Nodes are deleted, the kubelet of a host
   without a Node has ended its pods. */
inline calm(h) {
  if
  :: H.late != 0 -> late_lands(h)
  :: else
  fi;
  if
  :: H.dead && SPOKEN(h) -> node[NAME(h)] = 0
  :: H.dead && !SPOKEN(h)
  :: else ->
     H.cut = 0;
     forget_answer(h);
     if
     :: !SPOKEN(h) -> H.pod = 0; H.stray = 0
     :: else
     fi;
     H.looked = 1; H.pod = H.pod || H.stray; H.stray = 0;
     q_step = 0;
     do
     :: q_step < 8 ->
        if
        :: (H.row != NONE && H.row != LOST) || H.answer != 0 || LISTS(h) -> step(h)
        :: else
        fi;
        if
        :: H.answer == 0 && !H.pod && H.row == DRAINING -> H.row = RELEASING; H.seen = 0
        :: H.answer == 0 && !H.pod && H.row == LOST -> H.row = NONE
        :: else
        fi;
        q_step++
     :: else -> break
     od;
     forget_answer(h)
  fi
}

#define AT_REST(h) (host[h].row != CLAIMING && host[h].row != RELEASING)
#define KNOWN (!here || (!host[owner].dead && host[owner].uid && (host[owner].row == OWNED || (host[owner].row == DRAINING && host[owner].pod))))

inline quiet() {
  q_round = 0;
  do
  :: q_round < 2 * GRACE + 2 ->
     q_h = 0;
     do
     :: q_h < N -> calm(q_h); q_h++
     :: else -> break
     od;
     if
     :: here && NODE_GONE(owner) -> reaper_plans(); reaper_acts()
     :: here && !NODE_GONE(owner) && marked -> marked = 0; age = 0
     :: else
     fi;
     pass_time();
     q_round++
  :: else -> break
  od;
  assert(resolved || (AT_REST(0) && AT_REST(1) && AT_REST(N - 1)));
  assert(not_lost || KNOWN);
  vanish();
  q_h = 0;
  do
  :: q_h < N ->
     die(q_h); host[q_h].late = 0; host[q_h].late_id = 0; host[q_h].late_known = 0; host[q_h].looked = 0; host[q_h].pod = 0;
     host[q_h].stray = 0; host[q_h].cut = 0; host[q_h].dead = 0; host[q_h].alone = 0; host[q_h].forced = 0; host[q_h].excused = 0;
     q_h++
  :: else -> break
  od;
  q_h = 0; q_round = 0; q_step = 0; node[0] = 0; node[1] = 0; faults = 0; stop = 1
}

proctype world() provided (!stop) {
  do
  :: d_step { here && plan == 0 && NODE_GONE(owner) && (!dying || !marked || RIPE) -> reaper_plans() }
#ifndef W_STILL_SO
  :: d_step { here && marked && !NODE_GONE(owner) -> marked = 0; age = 0; plan = 0 }
#endif
  :: d_step { plan != 0 -> reaper_acts() }
  :: d_step { host[0].late != 0 -> late_lands(0) }
  :: d_step { host[1].late != 0 -> late_lands(1) }
  :: d_step { host[0].late != 0 -> host[0].late = 0; host[0].late_id = 0; host[0].late_known = 0; number(0) }
  :: d_step { host[1].late != 0 -> host[1].late = 0; host[1].late_id = 0; host[1].late_known = 0; number(1) }
#if N == 3
  :: d_step { host[2].late != 0 -> late_lands(2) }
  :: d_step { host[2].late != 0 -> host[2].late = 0; host[2].late_id = 0; host[2].late_known = 0; number(2) }
#endif
  :: d_step { here && !dying && faults > 0 -> faults--; server_delete() } /* an administrator */
  :: d_step { here && faults > 0 -> faults--; force() }
  :: d_step { node[0] != 0 && faults > 0 -> faults--; node[0] = 0; NEW_NODE_UID(0) }
  :: d_step { node[1] != 0 && faults > 0 -> faults--; node[1] = 0; NEW_NODE_UID(1) }
  :: d_step { ALL_IN_TIME && REAPER_IN_TIME -> pass_time() }
  :: d_step { TWO(0, 1) -> assert(!one_lessor) }
#ifndef LESSOR_ONLY
  :: d_step { CLASH(0, 1) || CLASH(1, 0) -> assert(!no_clash) }
  :: d_step { BLIND(0) || BLIND(1) -> assert(!no_double) }
#endif
#if N == 3
  :: d_step { TWO(0, 2) || TWO(1, 2) -> assert(!one_lessor) }
  :: d_step { CLASH(0, 2) || CLASH(1, 2) || CLASH(2, 0) || CLASH(2, 1) -> assert(!no_clash) }
  :: d_step { BLIND(2) -> assert(!no_double) }
#endif
  :: d_step { true -> quiet() }
  od
}

init {
  atomic {
    host[0].looked = 1; host[1].looked = 1;
#if N == 3
    host[2].looked = 1;
#endif
    node[0] = 1;
#if HOSTS != HEIR
    node[1] = 2;
#endif
    run node_host(0); run node_host(1);
#if N == 3
    run node_host(2);
#endif
    run world()
  }
}
