-- @P1 nvarchar "2024-05-01"
-- @P2 nvarchar "2024-05-02"
-- @P3 nvarchar "2024-05-03 10:00:00.123"
DECLARE @from datetime = TRY_CONVERT(datetime, @P1, 121), @to datetime = TRY_CONVERT(datetime, @P2, 121), @bound datetime = CONVERT(datetime, @P3, 121);
SELECT CONVERT(nvarchar(100), @from, 121) AS lower, CONVERT(nvarchar(100), @to, 121) AS upper, CASE WHEN @from >= @bound THEN 1 ELSE 0 END AS is_beyond, CASE WHEN @to >= @bound THEN 1 ELSE 0 END AS is_cut, CASE WHEN @from > @to THEN 1 ELSE 0 END AS is_crossed;
