// What a script is told by the test that starts it, and how it reports.
//
// A script gets one JSON object as its only argument: the gateway's address, keys and model names.

export const plan = JSON.parse(process.argv[2]);

// Stops the script when something does not hold.
export function check(what, holds, seen) {
  if (!holds) {
    console.error(`${what}: ${JSON.stringify(seen)}`);
    process.exit(1);
  }
  console.log(`ok ${what}`);
}

// Checks that a call raises exactly this class with this status.
export async function raises(what, errorClass, status, call) {
  try {
    await call();
  } catch (error) {
    check(`${what} raises ${errorClass.name}`, error.constructor === errorClass, String(error));
    check(`${what} has status ${status}`, error.status === status, error.status);
    return;
  }
  check(`${what} raises`, false, "nothing was raised");
}
