/* The load client: sends one request again and again, reads every answer to its end, and says whether all were whole.

       load requests=FILE[,FILE] ports=PORT[,PORT] NAME=VALUE ...

       total=1 at_once=1      so many turns, so many of them at a time, on connections that are kept
       ramp_ms=0              the first ones begin spread over so long
       chunks=100             how many pieces of text an answer must have
       hang_up_after=0        leave after so many chunks, then pause for pause_ms
       hold=0                 with 1: tell when every stream has spoken, and stay until standard input ends
       timeout_s=60           all that has not ended by then has failed

   A file holds a request's bytes, head and body. With two of them turns alternate: first, second, second, first.
   What is printed is JSON: see tell(). answer.c reads the answers. */

#define _GNU_SOURCE
#include "answer.h"
#include "wire.h"
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum state { IDLE, CONNECTING, SENDING, READING };
enum { STDIN = UINT32_MAX };

struct target {
    int port;
    char *request;
    size_t length;
};

struct caller {
    enum state state;
    int fd[2], which, reused;
    long turn;
    size_t written;
    uint64_t ready_at, began;
    struct answer answer;
};

static struct target targets[2];
static int target_count, polled;
static long total = 1, at_once = 1, ramp_ms, chunks = 100, hang_up_after, pause_ms, hold, timeout_s = 60;
static struct caller *callers;
static long started, ended, whole, speaking;
static double *first_us;       /* by turn; -1 for one that failed */
static uint64_t *hung_up_at;   /* by turn */
static struct { const char *why; long count; } failures[16];

/* Turns */

static void close_connection(struct caller *caller, int which) {
    if (caller->fd[which] >= 0) close(caller->fd[which]);
    caller->fd[which] = -1;
}

static void end_turn(struct caller *caller, const char *failure) {
    int kept = !failure && !caller->answer.closes;
    first_us[caller->turn] = failure || !caller->answer.first_at ? -1 : (double)(caller->answer.first_at - caller->began);
    if (!failure) whole++;
    for (int i = 0; failure && i < 16; i++) {
        if (failures[i].why && strcmp(failures[i].why, failure) != 0) continue;
        failures[i].why = failure;
        failures[i].count++;
        break;
    }
    if (!kept) close_connection(caller, caller->which);
    caller->state = IDLE;
    caller->ready_at = now_us() + (uint64_t)pause_ms * 1000;
    ended++;
}

static int connect_to(int port) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (connect(fd, (struct sockaddr *)&address, sizeof address) && errno != EINPROGRESS) {
        close(fd);
        return -1;
    }
    return fd;
}

static void watch(struct caller *caller, uint32_t events, int how) {
    struct epoll_event event = {.events = events, .data.u32 = (uint32_t)(caller - callers) * 2 + (uint32_t)caller->which};
    epoll_ctl(polled, how, caller->fd[caller->which], &event);
}

static void send_request(struct caller *caller) {
    struct target *target = &targets[caller->which];
    ssize_t sent = send(caller->fd[caller->which], target->request + caller->written, target->length - caller->written, MSG_NOSIGNAL);
    if (sent > 0) caller->written += (size_t)sent;
    caller->state = caller->written < target->length ? SENDING : READING;
    watch(caller, EPOLLIN | (caller->state == SENDING ? EPOLLOUT : 0), EPOLL_CTL_MOD);
}

static void call(struct caller *caller) {
    int *fd = &caller->fd[caller->which];
    caller->written = 0;
    caller->reused = *fd >= 0;
    clear(&caller->answer);
    if (caller->reused) {
        send_request(caller);
        return;
    }
    caller->state = CONNECTING;
    *fd = connect_to(targets[caller->which].port);
    if (*fd < 0)
        end_turn(caller, "connect");
    else
        watch(caller, EPOLLIN | EPOLLOUT, EPOLL_CTL_ADD);
}

static void begin_turn(struct caller *caller) {
    caller->turn = started++;
    caller->which = target_count == 2 ? (int)((caller->turn ^ (caller->turn >> 1)) & 1) : 0;
    caller->began = now_us();
    call(caller);
}

static void lose(struct caller *caller) {
    if (caller->reused && !caller->answer.bytes) { /* the server had closed a connection that was kept: a new one */
        close_connection(caller, caller->which);
        call(caller);
        return;
    }
    end_turn(caller, caller->state == CONNECTING ? "connect" : "broken off");
}

static void receive(struct caller *caller) {
    static char data[65536];
    ssize_t length = recv(caller->fd[caller->which], data, sizeof data, 0);
    if (length < 0 && errno == EAGAIN) return;
    int had_spoken = caller->answer.chunks > 0;
    if (length <= 0) {
        if (length == 0 && ends_at_close(&caller->answer))
            end_turn(caller, fault(&caller->answer, chunks));
        else
            lose(caller);
        return;
    }
    int complete = read_bytes(&caller->answer, data, (size_t)length, now_us());
    if (!had_spoken && caller->answer.chunks) speaking++;
    if (complete) {
        end_turn(caller, fault(&caller->answer, chunks));
    } else if (hang_up_after && caller->answer.chunks >= hang_up_after) {
        hung_up_at[caller->turn] = now_us();
        close_connection(caller, caller->which);
        end_turn(caller, NULL);
    }
}

static void handle(struct caller *caller, int which, uint32_t events) {
    if (caller->state == IDLE || caller->which != which) {
        close_connection(caller, which); /* a kept connection that the server closes */
    } else if (caller->state == CONNECTING && events & (EPOLLERR | EPOLLHUP)) {
        lose(caller);
    } else if (caller->state != READING && events & EPOLLOUT) {
        send_request(caller);
    } else if (events & (EPOLLIN | EPOLLERR | EPOLLHUP)) {
        receive(caller);
    }
}

/* What came of it */

static void tell(double seconds) {
    printf("{\"whole\":%ld,\"total\":%ld,\"seconds\":%.3f,\"failures\":{", whole, total, seconds);
    for (int i = 0; i < 16 && failures[i].why; i++) printf("%s\"%s\":%ld", i ? "," : "", failures[i].why, failures[i].count);
    if (ended < total) printf("%s\"unfinished\":%ld", failures[0].why ? "," : "", total - ended);
    printf("},");
    print_quantiles("lag_us", &lags);
    print_quantiles("jitter_us", &jitters);
    printf("\"first_us\":[");
    for (long i = 0; i < started; i++) printf("%s%.0f", i ? "," : "", first_us[i]);
    printf("],\"hung_up_us\":[");
    for (long i = 0; hang_up_after && i < started; i++) printf("%s%llu", i ? "," : "", (unsigned long long)hung_up_at[i]);
    printf("]}\n");
}

/* The loop */

static void begin_due(void) {
    uint64_t now = now_us();
    for (long i = 0; i < at_once && started < total; i++)
        if (callers[i].state == IDLE && callers[i].ready_at <= now) begin_turn(&callers[i]);
}

static void run(void) {
    static struct epoll_event events[1024];
    uint64_t began = now_us();
    int told = 0;
    while (ended < total && now_us() < began + (uint64_t)timeout_s * 1000000) {
        if (started < total) begin_due();
        int ready = epoll_wait(polled, events, 1024, started < total ? 1 : 100);
        for (int i = 0; i < ready; i++) {
            if (events[i].data.u32 == STDIN) return;
            handle(&callers[events[i].data.u32 / 2], (int)(events[i].data.u32 % 2), events[i].events);
        }
        if (hold && !told && speaking + ended >= total) told = printf("{\"open\":%ld}\n", total - ended) && !fflush(stdout);
    }
}

static void read_targets(char *files, char *ports) {
    char *at_file, *at_port;
    char *file = strtok_r(files, ",", &at_file), *port = strtok_r(ports, ",", &at_port);
    for (; file && port && target_count < 2; target_count++) {
        struct target *target = &targets[target_count];
        FILE *stream = fopen(file, "rb");
        if (!stream) exit(2);
        target->port = atoi(port);
        target->request = malloc(1 << 22);
        target->length = fread(target->request, 1, 1 << 22, stream);
        fclose(stream);
        file = strtok_r(NULL, ",", &at_file);
        port = strtok_r(NULL, ",", &at_port);
    }
}

static void read_arguments(int count, char **arguments) {
    struct { const char *name; long *value; } numbers[] = {
        {"total", &total}, {"at_once", &at_once}, {"ramp_ms", &ramp_ms}, {"chunks", &chunks},
        {"hang_up_after", &hang_up_after}, {"pause_ms", &pause_ms}, {"hold", &hold}, {"timeout_s", &timeout_s},
    };
    char *files = NULL, *ports = NULL;
    for (int i = 1; i < count; i++) {
        char *value = strchr(arguments[i], '=');
        if (!value) exit(2);
        *value++ = 0;
        if (strcmp(arguments[i], "requests") == 0) files = value;
        if (strcmp(arguments[i], "ports") == 0) ports = value;
        for (size_t j = 0; j < sizeof numbers / sizeof *numbers; j++)
            if (strcmp(arguments[i], numbers[j].name) == 0) *numbers[j].value = atol(value);
    }
    if (!files || !ports) exit(2);
    read_targets(files, ports);
}

int main(int count, char **arguments) {
    signal(SIGPIPE, SIG_IGN);
    allow_many_sockets();
    read_arguments(count, arguments);
    polled = epoll_create1(0);
    callers = calloc((size_t)at_once, sizeof *callers);
    first_us = calloc((size_t)total, sizeof *first_us);
    hung_up_at = calloc((size_t)total, sizeof *hung_up_at);
    uint64_t began = now_us();
    for (long i = 0; i < at_once; i++) {
        callers[i].fd[0] = callers[i].fd[1] = -1;
        callers[i].ready_at = began + (uint64_t)(ramp_ms * 1000 * i / at_once);
    }
    struct epoll_event input = {.events = EPOLLIN, .data.u32 = STDIN};
    if (hold) epoll_ctl(polled, EPOLL_CTL_ADD, 0, &input);
    run();
    tell((double)(now_us() - began) / 1e6);
}
