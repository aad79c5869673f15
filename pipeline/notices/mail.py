"""Send a notice by e-mail, over SMTP."""

from __future__ import annotations

import smtplib
import ssl
from contextlib import suppress

import httpx

from pipeline.errors import NoticeError, NoticeUndelivered, first_line
from pipeline.notices.config import Email
from pipeline.notices.message import Message


def send(channel: Email, message: Message) -> None:
    """Send a letter to the channel's people.

    The server's certificate is checked against the known authorities, and those that SSL_CERT_FILE names.

    Raises:
        NoticeUndelivered: it may succeed later.
        NoticeError: it will not succeed as configured.
    """
    hidden = channel.password.get_secret_value() if channel.password is not None else ""
    try:
        server = _connected(channel)
        try:
            if channel.user is not None and channel.password is not None:
                server.login(channel.user, channel.password.get_secret_value())
            refused = server.send_message(message.to_email(channel.sender, channel.to), channel.sender, channel.to)
            # The server has the letter. How the connection ends changes nothing, and must not send it again.
            with suppress(smtplib.SMTPException, OSError):
                server.quit()
        finally:
            server.close()
    except ssl.SSLError as error:
        raise NoticeError(f"{channel.place} offers no safe connection: {first_line(error)}") from error
    except smtplib.SMTPRecipientsRefused as error:
        raise _judged(channel, next(iter(error.recipients.values()))[0], "refuses the receivers") from error
    except smtplib.SMTPAuthenticationError as error:
        raise _judged(channel, error.smtp_code, "refuses the name or the password") from error
    except smtplib.SMTPResponseException as error:
        raise _judged(channel, error.smtp_code, "refuses the letter") from error
    except smtplib.SMTPNotSupportedError as error:
        raise NoticeError(f"{channel.place}: {first_line(error, hidden=hidden)}") from error
    except TimeoutError as error:
        raise NoticeUndelivered(f"{channel.place} did not answer in {channel.timeout_seconds:g} s") from error
    except (smtplib.SMTPException, OSError) as error:
        raise NoticeUndelivered(f"{channel.place}: {first_line(error, hidden=hidden)}") from error
    if refused:
        raise NoticeError(f"{channel.place} refuses {len(refused)} of {len(channel.to)} receivers; the others got it")


def _connected(channel: Email) -> smtplib.SMTP:
    host, _, port = channel.place.rpartition(":")
    context = httpx.create_ssl_context()
    if channel.security == "tls":
        return smtplib.SMTP_SSL(host, int(port), timeout=channel.timeout_seconds, context=context)
    server = smtplib.SMTP(host, int(port), timeout=channel.timeout_seconds)
    if channel.security == "starttls":
        try:
            server.starttls(context=context)
        except BaseException:
            server.close()
            raise
    return server


def _judged(channel: Email, code: int, what: str) -> NoticeError:
    """An error for a code of the server: those from 400 to 499 may pass."""
    kind = NoticeUndelivered if 400 <= code < 500 else NoticeError
    return kind(f"{channel.place} {what} ({code})")
