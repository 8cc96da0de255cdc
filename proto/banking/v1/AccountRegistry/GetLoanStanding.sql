SELECT
    national_id,
    standing,
    open_loans,
    owed_rials AS outstanding_rials,
    overdue AS overdue_instalments,
    returned_cheques,
    last_paid_on,
    province,
    county
FROM customer
WHERE national_id = :national_id
