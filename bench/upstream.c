/* The scripted upstream: OpenAI's Chat Completions and Anthropic's Messages, streamed and whole, on one port.

       upstream PORT

   A request's model name says how it is answered: "gpt-bench-n100-gap20-first20" gets 100 chunks, 20 ms apart, the
   first after 20 ms. POST .../messages is answered in Anthropic's events, every other POST in OpenAI's chunks.
   GET /stats tells the calls that are open, and when callers left before the end; asking clears the list.

   One thread, so that it can stand beside the gateway on a small machine and still be on time. */

#define _GNU_SOURCE
#include "upstream.h"
#include "wire.h"
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { MOST_PEERS = 16384, MOST_LEFT = 4096, NEVER = 0 };

static struct peer *peers[MOST_PEERS];
static uint64_t due[MOST_PEERS]; /* when a peer's next piece is to be sent, by descriptor */
static int highest, polled;
static unsigned long calls;
static uint64_t left_at[MOST_LEFT];
static int left, answering;

/* Bytes */

void append(struct bytes *to, const char *data, size_t length) {
    if (to->length + length + 1 > to->room) {
        to->room = (to->length + length + 1) * 2;
        to->data = realloc(to->data, to->room);
    }
    memcpy(to->data + to->length, data, length);
    to->length += length;
    to->data[to->length] = 0;
}

static void drop(struct bytes *from, size_t length) {
    from->length -= length;
    memmove(from->data, from->data + length, from->length + 1);
}

/* Connections */

static void end_call(struct peer *peer, int fd) {
    due[fd] = NEVER;
    if (peer->answering) answering--;
    peer->answering = 0;
}

static void hang_up(int fd) {
    struct peer *peer = peers[fd];
    if (peer->answering && left < MOST_LEFT) left_at[left++] = now_us();
    end_call(peer, fd);
    free(peer->in.data);
    free(peer->out.data);
    free(peer);
    peers[fd] = NULL;
    close(fd);
}

static void watch(int fd, uint32_t events, int how) {
    struct epoll_event event = {.events = events | EPOLLRDHUP, .data.fd = fd};
    epoll_ctl(polled, how, fd, &event);
}

static void flush(int fd) {
    struct bytes *out = &peers[fd]->out;
    ssize_t sent = out->length ? send(fd, out->data, out->length, MSG_NOSIGNAL) : 0;
    if (sent > 0) drop(out, (size_t)sent);
    if (out->length) watch(fd, EPOLLIN | EPOLLOUT, EPOLL_CTL_MOD);
}

static void welcome(int listener) {
    int fd, on = 1;
    while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
        if (fd >= MOST_PEERS) {
            close(fd);
            continue;
        }
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        peers[fd] = calloc(1, sizeof(struct peer));
        if (fd > highest) highest = fd;
        watch(fd, EPOLLIN, EPOLL_CTL_ADD);
    }
}

/* Turns */

/* Do what is due for a peer, and note when it is due again; its schedule does not drift when it was served late. */
static void step(int fd) {
    struct peer *peer = peers[fd];
    if (!peer->streamed) {
        say_all(peer);
        end_call(peer, fd);
    } else if (peer->sent < peer->chunks) {
        if (peer->sent == 0) begin(peer);
        say(peer);
        due[fd] += (uint64_t)peer->gap_ms * 1000;
    } else {
        finish(peer);
        end_call(peer, fd);
    }
    flush(fd);
}

/* Requests */

static int number_after(const char *text, const char *name, int otherwise) {
    const char *found = strstr(text, name);
    return found ? atoi(found + strlen(name)) : otherwise;
}

static int says_true(const char *body, const char *field) {
    const char *found = strstr(body, field);
    return found && strncmp(found + strlen(field) + strspn(found + strlen(field), ": "), "true", 4) == 0;
}

static void read_model(struct peer *peer, const char *body) {
    const char *from = strstr(body, "\"model\"");
    from = from ? strchr(from + 7, '"') : NULL;
    snprintf(peer->model, sizeof peer->model, "%.*s", from ? (int)strcspn(from + 1, "\"") : 0, from ? from + 1 : "");
    peer->chunks = number_after(peer->model, "-n", 16);
    peer->gap_ms = number_after(peer->model, "-gap", 0);
    peer->first_ms = number_after(peer->model, "-first", 0);
}

static void tell(struct peer *peer) {
    char body[MOST_LEFT * 20 + 128];
    int at = sprintf(body, "{\"open\":%d,\"calls\":%lu,\"left_us\":[", answering, calls);
    for (int i = 0; i < left; i++) at += sprintf(body + at, "%s%llu", i ? "," : "", (unsigned long long)left_at[i]);
    sprintf(body + at, "]}");
    left = 0;
    reply(peer, "200 OK", body);
}

static void take(int fd, const char *body) {
    struct peer *peer = peers[fd];
    const char *request = peer->in.data;
    if (strncmp(request, "POST", 4) != 0) {
        if (strncmp(request, "GET /stats", 10) == 0)
            tell(peer);
        else
            reply(peer, "404 Not Found", "{\"type\":\"error\",\"error\":{\"type\":\"not_found_error\",\"message\":\"none\"}}");
        flush(fd);
        return;
    }
    peer->number = ++calls;
    answering++;
    peer->answering = 1;
    peer->sent = 0;
    peer->anthropic = strncmp(request + 5 + strcspn(request + 5, " ?") - 9, "/messages", 9) == 0;
    peer->streamed = says_true(body, "\"stream\"");
    peer->usage = says_true(body, "\"include_usage\"");
    read_model(peer, body);
    due[fd] = now_us() + (uint64_t)peer->first_ms * 1000;
}

/* Answer the request at the beginning of what was read, if it is whole and none is being answered. */
static void read_request(int fd) {
    struct peer *peer = peers[fd];
    char *end = peer->in.length ? strstr(peer->in.data, "\r\n\r\n") : NULL;
    if (!end || peer->answering) return;
    size_t head = (size_t)(end - peer->in.data) + 4, size = 0;
    *end = 0;
    char *length = strcasestr(peer->in.data, "\r\ncontent-length:");
    int chunked = strcasestr(peer->in.data, "\r\ntransfer-encoding: chunked") != NULL;
    *end = '\r';
    if (length) size = strtoul(length + 17, NULL, 10);
    if (chunked) {
        char *last = strstr(peer->in.data + head, "0\r\n\r\n");
        size = last ? (size_t)(last - peer->in.data) + 5 - head : SIZE_MAX / 2;
    }
    if (peer->in.length - head < size) return;
    take(fd, peer->in.data + head);
    drop(&peer->in, head + size);
}

static void receive(int fd) {
    static char data[65536];
    ssize_t length = recv(fd, data, sizeof data, 0);
    if (length == 0 || (length < 0 && errno != EAGAIN)) {
        hang_up(fd);
    } else if (length > 0) {
        append(&peers[fd]->in, data, (size_t)length);
        read_request(fd);
    }
}

/* The loop */

static int listen_on(int port) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), on = 1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(fd, (struct sockaddr *)&address, sizeof address) || listen(fd, 4096)) {
        perror("upstream");
        exit(1);
    }
    return fd;
}

static void wait_until(uint64_t moment) {
    struct pollfd events = {.fd = polled, .events = POLLIN};
    uint64_t now = now_us(), wait = moment > now ? moment - now : 0;
    struct timespec time = {.tv_sec = (time_t)(wait / 1000000), .tv_nsec = (long)(wait % 1000000) * 1000};
    ppoll(&events, 1, moment == UINT64_MAX ? NULL : &time, NULL);
}

/* Serve all that is due; returns when something will be next. */
static uint64_t serve_due(void) {
    uint64_t next = UINT64_MAX, now = now_us();
    for (int fd = 0; fd <= highest; fd++) {
        if (due[fd] != NEVER && due[fd] <= now) {
            step(fd);
            if (!peers[fd]->answering) read_request(fd);
        }
        if (due[fd] != NEVER && due[fd] < next) next = due[fd];
    }
    return next;
}

int main(int count, char **arguments) {
    static struct epoll_event events[1024];
    signal(SIGPIPE, SIG_IGN);
    allow_many_sockets();
    polled = epoll_create1(0);
    int listener = listen_on(count > 1 ? atoi(arguments[1]) : 0);
    watch(listener, EPOLLIN, EPOLL_CTL_ADD);
    for (;;) {
        wait_until(serve_due());
        int ready = epoll_wait(polled, events, 1024, 0);
        for (int i = 0; i < ready; i++) {
            int fd = events[i].data.fd;
            if (fd == listener) {
                welcome(listener);
                continue;
            }
            if (events[i].events & EPOLLOUT) {
                watch(fd, EPOLLIN, EPOLL_CTL_MOD);
                flush(fd);
            }
            if (events[i].events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR)) receive(fd);
        }
    }
}
